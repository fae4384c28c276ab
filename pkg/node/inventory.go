package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"
)

// inventory is what a node has of the images of a bundle.
type inventory struct {
	records map[string]images.Image
	labels  map[digest.Digest]map[string]string // of each blob that is there
	chains  map[digest.Digest]bool              // committed snapshots
	origins map[digest.Digest]digest.Digest     // the blobs that loads unpacked into them
	sent    map[digest.Digest]int64             // bytes of blobs that this load sent before
}

// has reports whether the node has the blob.
func (inv *inventory) has(d digest.Digest) bool {
	_, ok := inv.labels[d]
	return ok
}

// takeInventory reads the inventory with three calls at once, whatever the number of images.
func (n *Node) takeInventory(ctx context.Context, imgs []*image) (*inventory, error) {
	wanted, chains := wants(imgs)
	inv := &inventory{
		records: map[string]images.Image{},
		labels:  map[digest.Digest]map[string]string{},
		chains:  map[digest.Digest]bool{},
		origins: map[digest.Digest]digest.Digest{},
	}
	var calls errgroup.Group
	calls.Go(func() error {
		list, err := n.images.List(ctx)
		if err != nil {
			return fmt.Errorf("list the node's images: %w", err)
		}
		for _, i := range list {
			inv.records[i.Name] = i
		}
		return nil
	})
	calls.Go(func() error {
		if err := n.content.Walk(ctx, func(info content.Info) error {
			if wanted[info.Digest] {
				inv.labels[info.Digest] = info.Labels
			}
			return nil
		}); err != nil {
			return fmt.Errorf("list the node's blobs: %w", err)
		}
		return nil
	})
	calls.Go(func() error {
		if err := n.snapshots.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
			if d := digest.Digest(info.Name); info.Kind == snapshots.KindCommitted && chains[d] {
				inv.chains[d] = true
				inv.origins[d] = digest.Digest(info.Labels[labelLayer])
			}
			return nil
		}); err != nil {
			return fmt.Errorf("list the snapshots of %s: %w", n.snapshotter.name, err)
		}
		return nil
	})
	return inv, calls.Wait()
}

// wants returns the blobs and the chains of the images.
func wants(imgs []*image) (blobs, chains map[digest.Digest]bool) {
	blobs, chains = map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, img := range imgs {
		for _, d := range img.manifests {
			blobs[d.Digest] = true
		}
		blobs[img.config.Digest] = true
		for _, l := range img.layers {
			blobs[l.Digest] = true
			chains[l.chain] = true
		}
		for _, d := range img.blobs {
			blobs[d.Digest] = true
		}
		for i := range img.referrers {
			for _, d := range img.referrers[i].Blobs() {
				blobs[d.Digest] = true
			}
		}
	}
	return blobs, chains
}

// Blobs lists the digests of the complete blobs that the node's content store has in its
// namespace, sorted. A bundle made against the list omits them. Layers that are there only
// unpacked are not listed, as another image may need them on top of other layers.
func (n *Node) Blobs(ctx context.Context) ([]digest.Digest, error) {
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

// A NodeImage is a name of an image on a node.
type NodeImage struct {
	Name   string        `json:"name"`
	Digest digest.Digest `json:"digest"` // of its index or manifest
}

// Images lists the names of the images in the node's namespace, sorted. The IDs that the CRI
// plugin keeps beside them are no names.
func (n *Node) Images(ctx context.Context) ([]NodeImage, error) {
	list, err := n.images.List(n.in(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the node's images: %w", err)
	}
	var all []NodeImage
	for _, img := range list {
		if _, err := digest.Parse(img.Name); err != nil {
			all = append(all, NodeImage{Name: img.Name, Digest: img.Target.Digest})
		}
	}
	slices.SortFunc(all, func(a, b NodeImage) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}
