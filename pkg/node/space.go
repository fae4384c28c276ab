package node

import (
	"context"
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
		device, free, err := space(path)
		if err != nil {
			return fmt.Errorf("check the space of %s: %w", path, err)
		}
		v := byDevice[device]
		if v == nil {
			v = &volume{path: path, free: free}
			byDevice[device] = v
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
