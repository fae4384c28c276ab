package node

import (
	"context"
	"errors"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/node/internal/layer"
)

// preflight compares what the plan adds with the free space of the node, before anything is
// written. It does nothing when this process does not see the node's files.
func (l *loader) preflight(ctx context.Context, p *plan) error {
	if !l.local {
		return nil
	}
	type volume struct {
		path       string
		need, free int64
	}
	var volumes []*volume
	byDevice := map[uint64]*volume{}
	add := func(path string, need int64) error {
		disk, err := usage(path)
		if err != nil {
			return fmt.Errorf("check the space of %s: %w", path, err)
		}
		v := byDevice[disk.Device]
		if v == nil {
			v = &volume{path: path, free: disk.Free}
			byDevice[disk.Device] = v
			volumes = append(volumes, v)
		}
		v.need += need
		return nil
	}
	var blobs, files int64
	for _, w := range l.blobWork(p) {
		if !w.there {
			blobs += w.desc.Size
		}
	}
	for _, u := range p.unpacks {
		files += l.unpackedSize(ctx, u.Descriptor)
	}
	if err := add(l.node.snapshotter.root, files); err != nil {
		return err
	}
	if err := add(l.node.contentRoot, blobs); err != nil {
		return err
	}
	for _, v := range volumes {
		if v.need > v.free {
			return &DiskFullError{Path: v.path, Need: v.need, Free: v.free}
		}
	}
	return nil
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
	disk, unknown := usage(path)
	if unknown != nil || disk.Free >= need {
		return err
	}
	return fmt.Errorf("%w: %w", err, &DiskFullError{Path: path, Need: need, Free: disk.Free})
}
