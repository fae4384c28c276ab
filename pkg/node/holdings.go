package node

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
)

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
