package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/disk"
	"stowage/pkg/node/internal/layer"
	"stowage/pkg/node/internal/system"
)

// writeRemotely lets containerd's diff service write the layer from its content store. The
// service has no limit on the unpacked size, so the layer is read here first, and what it will
// take is drawn from the budget; one whose tar has the wrong digest is not sent to the
// service. A layer whose window is too large for that is watched instead.
func (u *unpack) writeRemotely(ctx context.Context, mounts []mount.Mount) (digest.Digest, error) {
	l := u.loader
	res, err := u.apply(ctx, nil, layer.Options{Budget: l.files.draws(), Memory: l.memory})
	u.drawn = u.drawn.Add(res.Drawn)
	large := l.local && errors.Is(err, layer.ErrMemory)
	if !large && (err != nil || res.DiffID != u.diffID) {
		return res.DiffID, err
	}
	if l.local { // else the graph has a task for it
		if _, err := l.ingest(ctx, &blobWork{desc: u.Descriptor}); err != nil {
			return "", err
		}
	}
	watched, stop := u.watch(ctx)
	defer stop()
	// With this type containerd detects the compression, as load does: types are often wrong.
	desc := ocispec.Descriptor{MediaType: images.MediaTypeDockerSchema2Layer, Digest: u.Digest, Size: u.Size}
	got, err := l.node.client.DiffService().Apply(watched, desc, mounts, diff.WithSyncFs(true))
	if err != nil {
		return "", u.refused(ctx, watched, err, large)
	}
	l.progress(u.Size - u.counted)
	u.counted = u.Size
	u.done(got.Size)
	return got.Digest, nil
}

// refused returns the error of a layer that containerd did not unpack. unread says that it
// could not be read here before: then the layer is damaged, unless the disk or containerd is
// at fault.
func (u *unpack) refused(ctx, watched context.Context, err error, unread bool) error {
	n := u.loader.node
	if cause := context.Cause(watched); cause != nil && ctx.Err() == nil {
		return cause
	}
	err = n.asNoSpace(err, n.snapshotter.root, 0)
	if _, full := errors.AsType[*DiskFullError](err); unread && !full && ctx.Err() == nil && answers(ctx, n.client) == nil {
		return fmt.Errorf("%w: %w", err, archive.ErrDamaged)
	}
	return err
}

// watchInterval is how often watch looks at the free space. containerd writes less in that
// time than half of a reserve.
const watchInterval = 10 * time.Millisecond

// watch returns a context that ends when the file system of the snapshots has no more space
// than its reserve. stop ends the watch.
func (u *unpack) watch(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	v := u.loader.files
	if v == nil {
		return ctx, func() { cancel(nil) }
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(watchInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if err := v.budget.Draw(disk.Cost{}); err != nil {
				cancel(u.blame(asDiskFull(err)))
			}
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-done
	}
}

// blame returns the error of a layer that containerd was unpacking when the disk was full: the
// layer is at fault if it took more than a real one does.
func (u *unpack) blame(full error) error {
	v := u.loader.files
	now, err := system.Usage(v.path)
	if taken := v.before.Free - now.Free; err == nil && layer.TooLarge(u.Size, taken) {
		return &InflatedError{Layer: u.Digest, Size: u.Size, Unpacked: taken, Err: full}
	}
	return full
}
