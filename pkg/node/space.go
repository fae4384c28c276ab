package node

import (
	"context"
	"errors"
	"fmt"
)

// preflight compares what the plan adds with what the node has free, before
// anything is written. It knows nothing of a node whose files are out of sight.
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
		size, _ := l.unpackedSize(ctx, u.Descriptor)
		files += size
	}
	if err := add(l.node.snapshotter.root, files); err != nil {
		return err
	}
	if err := add(l.node.contentRoot, blobs); err != nil {
		return err
	}
	for _, v := range volumes {
		if v.need > v.free {
			return &SpaceError{Path: v.path, Need: v.need, Free: v.free}
		}
	}
	return nil
}

// databaseRoom is what containerd's databases need to go on, in bytes, however little is
// written besides.
const databaseRoom = 1 << 20

// asNoSpace adds a [*SpaceError] to an error of containerd's when the disk at path has less free
// than what was still to be written: its API has no code for that, only the system's words.
func (n *Node) asNoSpace(err error, path string, need int64) error {
	if _, known := errors.AsType[*SpaceError](err); err == nil || known || !n.local {
		return err
	}
	need = max(need, databaseRoom)
	disk, unknown := usage(path)
	if unknown != nil || disk.Free >= need {
		return err
	}
	return fmt.Errorf("%w: %w", err, &SpaceError{Path: path, Need: need, Free: disk.Free})
}
