package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// errNeedsParent says that a layer was to be written beside the layers below it
// but has to be written on top of them.
var errNeedsParent = errors.New("the layer needs the layers below it")

// unpack is one snapshot in the making. With a snapshotter that can rebase,
// make may run before the parent is committed; commit may not.
type unpack struct {
	*unpackWork
	loader  *loader
	rebase  bool   // the parent comes in commit
	key     string // of the active snapshot, empty when there is none
	counted int64  // bytes of the blob that progress knows of
	again   bool   // to be made on top of its parent, in commit
}

// make prepares the active snapshot and writes the layer into it. When another
// loader or the kubelet has made the same snapshot meanwhile, nothing is left to
// do: containerd has put theirs under our lease.
func (u *unpack) make(ctx context.Context) error {
	mounts, err := u.prepare(ctx)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		err = u.loader.node.asNoSpace(err, u.loader.node.snapshotter.root, 0)
		return fmt.Errorf("unpack layer %s of %s: prepare a snapshot: %w", u.Digest, u.image, err)
	}
	if u.key == "" {
		return nil
	}
	got, err := u.fill(ctx, mounts)
	switch {
	case err == nil && got == u.diffID:
		return nil
	case err == nil:
		err = fmt.Errorf("its uncompressed digest is %s, the config says %s: %w", got, u.diffID, archive.ErrDamaged)
	case errors.Is(err, errNeedsParent):
		u.discard(ctx)
		u.rebase, u.again = false, true
		return nil
	case ctx.Err() != nil:
		err = ctx.Err()
	}
	u.discard(ctx)
	if ctx.Err() == nil {
		if damage := u.loader.verifyBlob(u.Digest); damage != nil {
			return fmt.Errorf("unpack layer of %s: %w", u.image, damage)
		}
	}
	return fmt.Errorf("unpack layer %s of %s: %w", u.Digest, u.image, err)
}

// prepare asks the snapshotter for an active snapshot; u.key stays empty when
// the committed one is there.
func (u *unpack) prepare(ctx context.Context) ([]mount.Mount, error) {
	parent := u.layer.parent.String()
	if u.rebase {
		parent = ""
	}
	labels := map[string]string{snapshots.LabelSnapshotRef: u.chain.String()}
	// Not cut short with the load: a snapshot of which nobody has learnt the name
	// would stay as long as the lease.
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
			return nil, err
		}
		_, err = u.loader.node.snapshots.Stat(ctx, u.chain.String())
		// Not found: it was deleted in between, so the next try must succeed.
		if err == nil || !errdefs.IsNotFound(err) || try == 3 {
			return nil, err
		}
	}
}

// fill writes the layer into the mounts and returns the digest of its tar.
func (u *unpack) fill(ctx context.Context, mounts []mount.Mount) (digest.Digest, error) {
	if !u.loader.local {
		return u.fillRemotely(ctx, mounts)
	}
	target, ok := extractionOf(mounts, u.loader.node.snapshotter.root, u.rebase)
	if !ok {
		return "", fmt.Errorf("the snapshotter's mount %+v cannot be written to from here", mounts)
	}
	blob, err := u.loader.open(ctx, u.Descriptor)
	if err != nil {
		return "", err
	}
	defer blob.Close()
	taken := iox.NewMonitor(blob)
	tar, err := u.loader.decoder.decode(iox.Report(taken, u.count()))
	if err != nil && taken.Err() == nil {
		err = asDamaged(err)
	}
	if err != nil {
		return "", err
	}
	defer tar.Close()
	ahead := newPipe(tar)
	defer ahead.Close() // first of the three: the goroutine uses the others
	digester := digest.Canonical.Digester()
	bound := u.loader.bound(ctx, u.Descriptor)
	limited := &limit{r: ahead, left: bound.most}
	files := bound.files()
	err = target.extract(ctx, io.TeeReader(limited, digester.Hash()), files)
	switch {
	case limited.left < 0 || files.exceeded():
		return "", bound.exceeded(limited.read, taken.N(), files)
	case err == nil:
		u.done(limited.read)
	case !errors.Is(err, errNeedsParent) && taken.Err() == nil:
		err = asDamaged(err)
	}
	return digester.Digest(), err
}

// count reports the bytes of the blob once, also when it is read again.
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

// done counts an unpacked layer of so many bytes.
func (u *unpack) done(bytes int64) {
	u.loader.unpacked.Add(bytes)
	u.loader.layers.Add(1)
}

// commit makes the snapshot permanent under its chain id.
func (u *unpack) commit(ctx context.Context) error {
	if u.again {
		if err := u.make(ctx); err != nil {
			return err
		}
	}
	if u.key == "" {
		return nil
	}
	opts := []snapshots.Opt{snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: u.chain.String()})}
	if u.rebase {
		opts = append(opts, snapshots.WithParent(u.layer.parent.String()))
	}
	err := u.loader.node.snapshots.Commit(ctx, u.chain.String(), u.key, opts...)
	if err == nil {
		u.key = ""
		return nil
	}
	err = u.loader.node.asNoSpace(err, u.loader.node.snapshotter.root, 0)
	u.discard(ctx)
	if errdefs.IsAlreadyExists(err) {
		return nil // another loader was faster
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("commit snapshot %s of %s: %w", u.chain, u.image, err)
}

// discard removes the active snapshot, whatever became of ctx. Should that
// fail, the end of the lease removes it.
func (u *unpack) discard(ctx context.Context) {
	if u.key == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	u.loader.node.snapshots.Remove(ctx, u.key)
	u.key = ""
}

// open gives a layer blob: from the bundle, or from the node for a layer that a
// differential bundle left out.
func (l *loader) open(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	r, err := l.bundle.Open(desc.Digest)
	if err == nil {
		return io.NopCloser(r), nil
	}
	if !errors.Is(err, archive.ErrNotFound) {
		return nil, err
	}
	if l.local { // no need to send it through the socket
		file := filepath.Join(l.node.contentRoot, "blobs", desc.Digest.Algorithm().String(), desc.Digest.Encoded())
		if f, err := os.Open(file); err == nil {
			return f, nil
		}
	}
	ra, err := l.node.content.ReaderAt(ctx, desc)
	if err != nil {
		return nil, fmt.Errorf("read blob %s from the node: %w", desc.Digest, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{content.NewReader(ra), ra}, nil
}
