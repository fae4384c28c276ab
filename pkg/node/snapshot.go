package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/disk"
	"stowage/pkg/node/internal/layer"
)

// unpack creates one snapshot. With a snapshotter that can rebase, fill may run before the
// parent is committed; commit may not.
type unpack struct {
	*unpackWork
	loader   *loader
	rebase   bool      // the snapshot gets its parent in commit
	key      string    // of the active snapshot, empty when there is none
	dir      string    // that fill writes into, empty when there is none
	drawn    disk.Cost // of the budget, for dir
	counted  int64     // bytes of the blob that were reported as progress
	byDaemon bool      // containerd unpacks it: here it would need too much memory
	again    bool      // commit has to fill it again, on top of its parent
}

// fill prepares the active snapshot and writes the layer into it. It does nothing if another
// loader or the kubelet has created the snapshot meanwhile: containerd has added that one to
// our lease.
func (u *unpack) fill(ctx context.Context) error {
	mounts, err := u.prepare(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		err = u.loader.node.asNoSpace(err, u.loader.node.snapshotter.root, 0)
		return fmt.Errorf("unpack layer %s of %s: prepare a snapshot: %w", u.Digest, u.image, err)
	}
	if u.key == "" {
		return u.compare(ctx)
	}
	got, err := u.write(ctx, mounts)
	if errors.Is(err, layer.ErrMemory) && u.loader.local && !u.byDaemon {
		u.byDaemon, err = true, layer.ErrNeedsParent // containerd knows no snapshot without it
	}
	if errors.Is(err, layer.ErrNeedsParent) {
		u.rebase, u.again = false, true
		return u.discard(ctx)
	}
	if err = u.judge(ctx, got, err); err != nil {
		err = errors.Join(err, u.discard(ctx))
	}
	return err
}

// compare reads the layer and compares its digest with the diffID. The snapshot exists, but
// perhaps from another blob.
func (u *unpack) compare(ctx context.Context) error {
	o := layer.Options{OnRead: u.count(), Memory: u.loader.memory}
	res, err := u.apply(ctx, nil, o)
	if errors.Is(err, layer.ErrMemory) {
		o.Memory = u.loader.spare
		res, err = u.apply(ctx, nil, o)
	}
	return u.judge(ctx, res.DiffID, err)
}

// judge returns the error of a layer that was read with the digest got, or with err.
func (u *unpack) judge(ctx context.Context, got digest.Digest, err error) error {
	switch {
	case err == nil && got == u.diffID:
		return nil
	case ctx.Err() != nil:
		err = ctx.Err()
	case err == nil:
		err = fmt.Errorf("its uncompressed digest is %s, the config says %s: %w", got, u.diffID, archive.ErrDamaged)
	}
	if ctx.Err() == nil {
		if damage := u.loader.verifyBlob(u.Digest); damage != nil {
			return fmt.Errorf("unpack layer of %s: %w", u.image, damage)
		}
	}
	return fmt.Errorf("unpack layer %s of %s: %w", u.Digest, u.image, err)
}

// prepare asks the snapshotter for an active snapshot. u.key stays empty when the committed
// one exists.
func (u *unpack) prepare(ctx context.Context) ([]mount.Mount, error) {
	parent := u.parentID.String()
	if u.rebase {
		parent = ""
	}
	labels := map[string]string{snapshots.LabelSnapshotRef: u.chain.String()}
	// Detached from ctx: if Prepare were cancelled after it succeeded, we could not remove
	// the snapshot, and it would exist as long as the lease.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	for try := 1; ; try++ {
		key := fmt.Sprintf("extract-%016x %s", rand.Uint64(), u.chain)
		mounts, err := u.loader.node.snapshots.Prepare(ctx, key, parent, snapshots.WithLabels(labels))
		if err == nil {
			u.key = key
			return mounts, nil
		}
		if !errdefs.IsAlreadyExists(err) {
			return nil, asStale(err)
		}
		_, err = u.loader.node.snapshots.Stat(ctx, u.chain.String())
		// Not found: it was deleted in between, so the next try must succeed.
		if err == nil || !errdefs.IsNotFound(err) || try == 3 {
			return nil, err
		}
	}
}

// asStale returns containerd's error of Prepare as a [StaleSnapshotError] if it is one. No code
// distinguishes it: containerd cannot rename the directory that it has made to the name of the
// ID, because that exists. Then it removes both (createSnapshot in snapshots/overlay/overlay.go
// of 1.6.20 and 1.7.35 and in plugins/snapshots/overlay/overlay.go of 2.4.2, and native.go).
func asStale(err error) error {
	if text := err.Error(); strings.Contains(text, "failed to rename: rename ") && strings.HasSuffix(text, ": file exists") {
		return &StaleSnapshotError{err}
	}
	return err
}

// sweepTries is how many stale directories sweepSnapshots meets at most.
const sweepTries = 100

// sweepSnapshots makes the next collection of garbage remove the directories that the
// snapshotter does not know: it looks for them only after a snapshot was removed
// (core/metadata/db.go). containerd removes the directory of each failed Prepare when it has
// unlocked its database, so no other Prepare of the load may be running, or have its snapshot
// kept: it may have got the ID in between.
func (n *Node) sweepSnapshots(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	key := fmt.Sprintf("stowage-sweep-%016x", rand.Uint64())
	for try := 1; ; try++ {
		_, err := n.snapshots.Prepare(ctx, key, "")
		if err == nil {
			break
		}
		if _, stale := errors.AsType[*StaleSnapshotError](asStale(err)); !stale || try == sweepTries {
			return fmt.Errorf("prepare a snapshot to be removed: %w", err)
		}
	}
	if err := n.snapshots.Remove(ctx, key); err != nil {
		return fmt.Errorf("remove the snapshot %s: %w", key, err)
	}
	return nil
}

// write writes the layer into the mounts and returns the digest of its tar.
func (u *unpack) write(ctx context.Context, mounts []mount.Mount) (digest.Digest, error) {
	if !u.loader.local {
		return u.writeRemotely(ctx, mounts)
	}
	target, ok := targetOf(mounts, u.loader.node.snapshotter.root, u.rebase)
	if !ok {
		return "", fmt.Errorf("the snapshotter's mount %+v cannot be written to from here", mounts)
	}
	if u.dir = target.Dir; u.byDaemon {
		return u.writeRemotely(ctx, mounts)
	}
	res, err := u.apply(ctx, target, layer.Options{OnRead: u.count(), Budget: u.loader.files.draws(), Memory: u.loader.memory})
	if u.drawn = u.drawn.Add(res.Drawn); err == nil {
		u.done(res.Size)
	}
	return res.DiffID, err
}

// apply unpacks the blob into target, or with a nil target only reads it.
func (u *unpack) apply(ctx context.Context, target *layer.Target, o layer.Options) (layer.Result, error) {
	blob, err := u.loader.open(ctx, u.Descriptor)
	if err != nil {
		return layer.Result{}, err
	}
	defer blob.Close()
	// A layer of a stream was not there yet when the space was first compared.
	if size, stated := layer.UnpackedSize(blob); stated {
		if err := o.Budget.Fits(disk.Cost{Bytes: size}); err != nil {
			return layer.Result{}, asDiskFull(err)
		}
	}
	res, err := layer.Apply(ctx, blob, target, o)
	if e, ok := errors.AsType[*layer.SizeError](err); ok {
		return res, &InflatedError{Layer: u.Digest, Size: e.Stored, Stated: e.Stated, Unpacked: e.Unpacked, Err: asDiskFull(e.Err)}
	}
	if errors.Is(err, syscall.ENOSPC) { // other programs have used what the budget had left
		err = u.loader.node.asNoSpace(err, u.loader.node.snapshotter.root, 0)
	}
	return res, asDiskFull(err)
}

// targetOf returns the directory of the mounts that the snapshotter prepared. rebased says
// that the snapshot was prepared without its later parent: then a bind mount is the future
// upper directory of an overlay. It reports false for mounts that this process cannot write
// to.
func targetOf(mounts []mount.Mount, root string, rebased bool) (*layer.Target, bool) {
	if len(mounts) != 1 || mounts[0].ReadOnly() {
		return nil, false
	}
	t := &layer.Target{}
	switch m := mounts[0]; m.Type {
	case "bind":
		t.Dir, t.Overlay, t.Detached = m.Source, rebased, rebased
	case "overlay":
		t.Overlay = true
		for _, o := range m.Options {
			if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
				t.Dir = dir
			} else if dirs, ok := strings.CutPrefix(o, "lowerdir="); ok {
				t.Lower = strings.Split(dirs, ":")
			}
		}
	}
	if rel, err := filepath.Rel(root, t.Dir); err != nil || !filepath.IsLocal(rel) {
		return nil, false
	}
	info, err := os.Lstat(t.Dir)
	return t, err == nil && info.IsDir()
}

// count returns a function that reports progress. Bytes that are read a second time are not
// reported again.
func (u *unpack) count() func(int64) {
	var read int64
	return func(n int64) {
		read += n
		if read > u.counted {
			u.loader.progress(read - u.counted)
			u.counted = read
		}
	}
}

// done counts an unpacked layer of size bytes.
func (u *unpack) done(size int64) {
	u.loader.unpacked.Add(size)
	u.loader.layers.Add(1)
}

// commit makes the snapshot permanent under its chain ID.
func (u *unpack) commit(ctx context.Context) error {
	if u.again {
		if err := u.fill(ctx); err != nil {
			return err
		}
	}
	if u.key == "" {
		return nil
	}
	opts := []snapshots.Opt{snapshots.WithLabels(map[string]string{
		snapshots.LabelSnapshotRef: u.chain.String(), labelLayer: u.Digest.String(),
	})}
	if u.rebase {
		opts = append(opts, snapshots.WithParent(u.parentID.String()))
	}
	err := u.loader.node.snapshots.Commit(ctx, u.chain.String(), u.key, opts...)
	if err == nil {
		u.key = ""
		return nil
	}
	err = u.loader.node.asNoSpace(err, u.loader.node.snapshotter.root, 0)
	discarded := u.discard(ctx)
	if errdefs.IsAlreadyExists(err) {
		return discarded // another loader was faster
	}
	if ctx.Err() != nil {
		return errors.Join(ctx.Err(), discarded)
	}
	return errors.Join(fmt.Errorf("commit snapshot %s of %s: %w", u.chain, u.image, err), discarded)
}

// record labels the blob with the diffID, as containerd does after it has unpacked it.
func (u *unpack) record(ctx context.Context) error {
	return u.loader.relabel(ctx, &blobWork{desc: u.Descriptor, labels: map[string]string{labelUncompressed: u.diffID.String()}})
}

// discard removes the active snapshot, even if ctx has ended. It empties the directory first:
// on a full disk containerd cannot commit the removal, and would keep the files until it is
// restarted.
func (u *unpack) discard(ctx context.Context) error {
	if u.key == "" {
		return nil
	}
	emptied := u.empty()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	err := u.loader.node.snapshots.Remove(ctx, u.key)
	u.key = ""
	if err == nil || errdefs.IsNotFound(err) {
		return nil // with the files that empty could not remove
	}
	return fmt.Errorf("remove the snapshot of layer %s of %s: %w", u.Digest, u.image, errors.Join(err, emptied))
}

// empty removes what fill wrote.
func (u *unpack) empty() error {
	if u.dir == "" {
		return nil
	}
	entries, err := os.ReadDir(u.dir)
	errs := []error{err}
	for _, e := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(u.dir, e.Name())))
	}
	u.loader.files.draws().Return(u.drawn)
	u.dir, u.drawn = "", disk.Cost{}
	return errors.Join(errs...)
}

// blobCloser is an open blob.
type blobCloser interface {
	layer.Blob
	io.Closer
}

// open opens the blob of a layer: in the bundle, or on the node if a differential bundle
// omits it.
func (l *loader) open(ctx context.Context, desc ocispec.Descriptor) (blobCloser, error) {
	r, err := l.bundle.Open(desc.Digest)
	if err == nil {
		return struct {
			*io.SectionReader
			io.Closer
		}{r, io.NopCloser(nil)}, nil
	}
	if !errors.Is(err, archive.ErrNotFound) {
		return nil, err
	}
	if l.local { // faster than through the socket
		file := filepath.Join(l.node.contentRoot, "blobs", desc.Digest.Algorithm().String(), desc.Digest.Encoded())
		if f, err := openFileBlob(file); err == nil {
			return f, nil
		}
	}
	var ra content.ReaderAt
	if ra, err = l.node.content.ReaderAt(ctx, desc); err != nil {
		return nil, fmt.Errorf("read blob %s from the node: %w", desc.Digest, err)
	}
	return ra, nil
}

// fileBlob is a blob in containerd's content store, opened as a file.
type fileBlob struct {
	*os.File
	size int64
}

// Size returns the size of the file in bytes.
func (f *fileBlob) Size() int64 { return f.size }

func openFileBlob(path string) (*fileBlob, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &fileBlob{f, info.Size()}, nil
}
