package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
)

// inventory is what a node holds of the things a bundle asks for.
type inventory struct {
	records map[string]images.Image
	labels  map[digest.Digest]map[string]string // of each blob there; the key alone says it is there
	chains  map[digest.Digest]bool              // committed snapshots
	came    map[digest.Digest]int64             // sent by this load before it looked
}

// has tells whether the node holds the blob.
func (inv *inventory) has(d digest.Digest) bool {
	_, ok := inv.labels[d]
	return ok
}

// takeInventory asks containerd in three calls, however many images there are.
func (n *Node) takeInventory(ctx context.Context, imgs []*image) (*inventory, error) {
	wanted, chains := wants(imgs)
	inv := &inventory{
		records: map[string]images.Image{},
		labels:  map[digest.Digest]map[string]string{},
		chains:  map[digest.Digest]bool{},
	}
	list, err := n.images.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the node's images: %w", err)
	}
	for _, i := range list {
		inv.records[i.Name] = i
	}
	if err := n.content.Walk(ctx, func(info content.Info) error {
		if wanted[info.Digest] {
			inv.labels[info.Digest] = info.Labels
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list the node's blobs: %w", err)
	}
	if err := n.snapshots.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if d := digest.Digest(info.Name); info.Kind == snapshots.KindCommitted && chains[d] {
			inv.chains[d] = true
		}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list the snapshots of %s: %w", n.snapshotter.name, err)
	}
	return inv, nil
}

// wants collects the blobs and the chains of the images.
func wants(imgs []*image) (blobs, chains map[digest.Digest]bool) {
	blobs, chains = map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, img := range imgs {
		for _, d := range img.documents {
			blobs[d.Digest] = true
		}
		blobs[img.config.Digest] = true
		for _, l := range img.layers {
			blobs[l.Digest] = true
			chains[l.chain] = true
		}
	}
	return blobs, chains
}

// Holdings lists the digests of the blobs in the node's content store, sorted:
// those that the namespace of the node can use, complete ones only. A bundle made
// against the list leaves them out. Layers that are there only unpacked are not
// in it, as another image may need them on top of another layer.
func (n *Node) Holdings(ctx context.Context) ([]digest.Digest, error) {
	var all []digest.Digest
	if err := n.content.Walk(n.in(ctx), func(info content.Info) error {
		all = append(all, info.Digest)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("list the node's blobs: %w", err)
	}
	slices.Sort(all)
	return all, nil
}
