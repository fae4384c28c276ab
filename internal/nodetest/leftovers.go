//go:build linux

package nodetest

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Leftovers runs a garbage collection and lists what no image needs in the namespace of
// Kubernetes: active snapshots, leases, unfinished ingests and unreferenced blobs. No pod
// may be running.
func (n *Node) Leftovers(ctx context.Context) ([]string, error) {
	c, ctx, err := n.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := collect(ctx, c); err != nil {
		return nil, err
	}
	var left []string
	held, err := c.LeasesService().List(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range held {
		left = append(left, "lease "+l.ID)
	}
	open, err := c.ContentStore().ListStatuses(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range open {
		left = append(left, fmt.Sprintf("ingest %s of %d bytes", s.Ref, s.Offset))
	}
	if err := c.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindActive {
			left = append(left, "active snapshot "+i.Name)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	needed, err := reachable(ctx, c)
	if err != nil {
		return nil, err
	}
	err = c.ContentStore().Walk(ctx, func(i content.Info) error {
		if !needed[i.Digest] {
			left = append(left, "blob "+i.Digest.String())
		}
		return nil
	})
	return left, err
}

// reachable returns the blobs that the images reference, present or not.
func reachable(ctx context.Context, c *client.Client) (map[digest.Digest]bool, error) {
	all, err := c.ImageService().List(ctx)
	if err != nil {
		return nil, err
	}
	needed := map[digest.Digest]bool{}
	for _, i := range all {
		err := images.Walk(ctx, images.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			needed[d.Digest] = true
			below, err := images.Children(ctx, c.ContentStore(), d)
			if errdefs.IsNotFound(err) {
				return nil, nil // of another platform
			}
			return below, err
		}), i.Target)
		if err != nil {
			return nil, fmt.Errorf("walk image %s: %w", i.Name, err)
		}
	}
	return needed, nil
}

// Wipe removes every image except those of the names in keep, and all leases, and collects
// the garbage, so that tests can share a node.
func (n *Node) Wipe(ctx context.Context, keep ...string) error {
	c, ctx, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.ImageService().List(ctx)
	if err != nil {
		return err
	}
	kept := map[digest.Digest]bool{}
	for _, i := range all {
		if slices.Contains(keep, i.Name) {
			kept[i.Target.Digest] = true
		}
	}
	for _, i := range all {
		if kept[i.Target.Digest] {
			continue
		}
		if err := c.ImageService().Delete(ctx, i.Name); err != nil {
			return fmt.Errorf("remove image %s: %w", i.Name, err)
		}
	}
	held, err := c.LeasesService().List(ctx)
	if err != nil {
		return err
	}
	for _, l := range held {
		if err := c.LeasesService().Delete(ctx, l); err != nil {
			return fmt.Errorf("remove lease %s: %w", l.ID, err)
		}
	}
	return collect(ctx, c)
}

// collect runs containerd's garbage collection and waits for it.
func collect(ctx context.Context, c *client.Client) error {
	l, err := c.LeasesService().Create(ctx, leases.WithRandomID())
	if err == nil {
		err = c.LeasesService().Delete(ctx, l, leases.SynchronousDelete)
	}
	if err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	return nil
}

// connect returns a client and a context with the namespace of Kubernetes.
func (n *Node) connect(ctx context.Context) (*client.Client, context.Context, error) {
	c, err := client.New(n.Address())
	if err != nil {
		return nil, nil, fmt.Errorf("connect to the node: %w", err)
	}
	return c, namespaces.WithNamespace(ctx, "k8s.io"), nil
}
