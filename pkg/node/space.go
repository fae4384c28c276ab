package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/fsutil"
	"stowage/pkg/node/internal/disk"
	"stowage/pkg/node/internal/layer"
	"stowage/pkg/node/internal/system"
)

// volume is a file system of the node that a load writes to.
type volume struct {
	path   string
	budget *disk.Budget
	before fsutil.Usage
	need   disk.Cost // of what the node lacks; unpacked sizes are partly estimates
}

// openVolumes reads the free space of the node's file systems. Snapshots and blobs share one
// budget if they are on the same one.
func (l *loader) openVolumes() error {
	open := func(path string) (*volume, error) {
		u, err := system.Usage(path)
		if err != nil {
			return nil, fmt.Errorf("check the space of %s: %w", path, err)
		}
		for _, v := range l.volumes {
			if v.before.Device == u.Device {
				return v, nil
			}
		}
		v := &volume{path: path, before: u}
		v.budget, err = budgetOf(path)
		l.volumes = append(l.volumes, v)
		return v, err
	}
	var err error
	l.volumes = nil
	if l.files, err = open(l.node.snapshotter.root); err != nil {
		return err
	}
	l.blobs, err = open(l.node.contentRoot)
	return err
}

// budgetOf returns the budget of the file system of path.
func budgetOf(path string) (*disk.Budget, error) {
	return disk.New(path, func() (fsutil.Usage, error) { return system.Usage(path) })
}

// preflight compares what the plan adds with the free space of the node, before anything is
// written, and opens the budgets that everything written is drawn from. It does nothing when
// this process does not see the node's files.
func (l *loader) preflight(ctx context.Context, p *plan) error {
	if !l.local {
		return nil
	}
	if err := l.openVolumes(); err != nil {
		return err
	}
	for _, w := range l.blobWork(p) {
		if !w.there {
			l.blobs.need = l.blobs.need.Add(disk.Cost{Bytes: w.desc.Size})
		}
	}
	for _, u := range p.unpacks {
		l.files.need = l.files.need.Add(disk.Cost{Bytes: l.unpackedSize(ctx, u.Descriptor)})
	}
	for _, v := range l.volumes {
		if err := v.budget.Fits(v.need); err != nil {
			return asDiskFull(err)
		}
	}
	return nil
}

// draws returns the budget of the volume, nil for a nil volume.
func (v *volume) draws() *disk.Budget {
	if v == nil {
		return nil
	}
	return v.budget
}

// asDiskFull returns the error of a budget as a [*DiskFullError].
func asDiskFull(err error) error {
	e, ok := errors.AsType[*disk.FullError](err)
	if !ok {
		return err
	}
	return &DiskFullError{Path: e.Path, Need: e.Need, Free: e.Free, Reserve: e.Reserve, Inodes: e.Inodes}
}

const (
	// returnTimeout is how long a failed load waits until the space it used is free again.
	// Some file systems free it in the background.
	returnTimeout = 3 * time.Second
	// returnSlack is how much less may be free than before, in bytes: databases and logs grow.
	returnSlack = 32 << 20
)

// checkReturned adds to the error of a load that has removed what it wrote which file systems
// have less free space than before.
func (l *loader) checkReturned(err error) error {
	for _, v := range l.volumes {
		deadline := time.Now().Add(returnTimeout)
		missing := func() int64 {
			u, uerr := system.Usage(v.path)
			if uerr != nil {
				return 0
			}
			return v.before.Free - u.Free
		}
		for missing() > returnSlack && time.Now().Before(deadline) {
			time.Sleep(returnTimeout / 30)
		}
		if m := missing(); m > returnSlack {
			err = fmt.Errorf("%w; what was written is removed, but %d MiB less than before are free below %s: if no other program uses them, restart containerd, which frees them", err, m>>20, v.path)
		}
	}
	return err
}

// unpackedSize returns the size of a layer's tar, as far as it is known yet.
func (l *loader) unpackedSize(ctx context.Context, desc ocispec.Descriptor) int64 {
	blob, err := l.open(ctx, desc)
	if err != nil {
		return layer.GuessSize(desc.Size)
	}
	defer blob.Close()
	size, _ := layer.UnpackedSize(blob)
	return size
}

// databaseRoom is what containerd's databases need to keep working, in bytes.
const databaseRoom = 1 << 20

// asNoSpace adds a [*DiskFullError] to an error of containerd if the disk at path has less
// free than need bytes, which were still to be written: the API has no status code for
// ENOSPC.
func (n *Node) asNoSpace(err error, path string, need int64) error {
	if _, known := errors.AsType[*DiskFullError](err); err == nil || known || !n.local {
		return err
	}
	need = max(need, databaseRoom)
	disk, unknown := system.Usage(path)
	if unknown != nil || disk.Free >= need {
		return err
	}
	return fmt.Errorf("%w: %w", err, &DiskFullError{Path: path, Need: need, Free: disk.Free})
}
