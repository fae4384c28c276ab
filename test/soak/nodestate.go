//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/nodetest"
)

// nodeState is the content of a node in the namespace of Kubernetes, as reported by
// containerd.
type nodeState struct {
	images    map[string]ocispec.Descriptor
	blobs     map[digest.Digest]int64
	committed map[string]bool
	active    []string
	leases    []string
	ingests   []string
}

// eye reads the state of a node with its own connection.
type eye struct {
	client *client.Client
	ctx    context.Context // with the namespace, valid until close
}

func openEye(ctx context.Context, n *nodetest.Node) (*eye, error) {
	c, err := client.New(n.Address())
	if err != nil {
		return nil, fmt.Errorf("connect to the node: %w", err)
	}
	return &eye{c, namespaces.WithNamespace(ctx, "k8s.io")}, nil
}

func (e *eye) close() error { return e.client.Close() }

// state reads everything.
func (e *eye) state() (*nodeState, error) {
	s := &nodeState{images: map[string]ocispec.Descriptor{}, blobs: map[digest.Digest]int64{}, committed: map[string]bool{}}
	all, err := e.client.ImageService().List(e.ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	for _, i := range all {
		s.images[i.Name] = i.Target
	}
	err = e.client.ContentStore().Walk(e.ctx, func(i content.Info) error {
		s.blobs[i.Digest] = i.Size
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list blobs: %w", err)
	}
	err = e.client.SnapshotService("overlayfs").Walk(e.ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindCommitted {
			s.committed[i.Name] = true
		} else {
			s.active = append(s.active, i.Name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	held, err := e.client.LeasesService().List(e.ctx)
	if err != nil {
		return nil, fmt.Errorf("list leases: %w", err)
	}
	for _, l := range held {
		s.leases = append(s.leases, l.ID)
	}
	open, err := e.client.ContentStore().ListStatuses(e.ctx)
	if err != nil {
		return nil, fmt.Errorf("list ingests: %w", err)
	}
	for _, i := range open {
		s.ingests = append(s.ingests, i.Ref)
	}
	return s, nil
}

// blob reads a complete blob; those of a soak are small.
func (e *eye) blob(d digest.Digest) ([]byte, error) {
	return content.ReadBlob(e.ctx, e.client.ContentStore(), ocispec.Descriptor{Digest: d})
}

// collect runs containerd's garbage collection and waits for it.
func (e *eye) collect() error {
	l, err := e.client.LeasesService().Create(e.ctx, leases.WithRandomID())
	if err == nil {
		err = e.client.LeasesService().Delete(e.ctx, l, leases.SynchronousDelete)
	}
	if err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	return nil
}

// changes lists the differences from an earlier state, sorted; nil if there are none.
func (was *nodeState) changes(now *nodeState) []string {
	var list []string
	note := func(kind, name string, before, after bool) {
		if before && !after {
			list = append(list, kind+" "+name+" went")
		} else if after && !before {
			list = append(list, kind+" "+name+" came")
		}
	}
	for name := range joined(was.images, now.images) {
		old, there := was.images[name]
		d, still := now.images[name]
		note("image", name, there, still)
		if there && still && old.Digest != d.Digest {
			list = append(list, fmt.Sprintf("image %s means %s, not %s", name, d.Digest, old.Digest))
		}
	}
	for d := range joined(was.blobs, now.blobs) {
		_, there := was.blobs[d]
		_, still := now.blobs[d]
		note("blob", d.String(), there, still)
	}
	for c := range joined(was.committed, now.committed) {
		note("snapshot", c, was.committed[c], now.committed[c])
	}
	for _, pair := range []struct {
		kind     string
		old, new []string
	}{{"active snapshot", was.active, now.active}, {"lease", was.leases, now.leases}, {"ingest", was.ingests, now.ingests}} {
		for _, name := range slices.Compact(slices.Sorted(slices.Values(slices.Concat(pair.old, pair.new)))) {
			note(pair.kind, name, slices.Contains(pair.old, name), slices.Contains(pair.new, name))
		}
	}
	slices.Sort(list)
	return list
}

// joined returns a map with the keys of both maps.
func joined[K comparable, V any](a, b map[K]V) map[K]V {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// atRest returns an error for what may not exist when nothing is running.
func (s *nodeState) atRest() error {
	if len(s.active)+len(s.leases)+len(s.ingests) > 0 {
		return fmt.Errorf("remaining on the node: active snapshots %q, leases %q, ingests %q", s.active, s.leases, s.ingests)
	}
	return nil
}
