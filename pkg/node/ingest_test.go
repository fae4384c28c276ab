//go:build linux

package node

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"

	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// TestContainerdEnds kills containerd during a load: the error says so, and the same load
// completes once containerd runs again.
func TestContainerdEnds(t *testing.T) {
	t.Parallel()
	outer := t
	machine, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{
		{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 1 << 20}}},
		{Seed: 2, Files: []registrytest.File{{Name: "b", Size: 1 << 20}}},
	}})
	path := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: name})
	loads := map[string]func(context.Context, *Node, LoadOptions) (*Report, error){
		"file": func(ctx context.Context, n *Node, o LoadOptions) (*Report, error) {
			return n.Load(ctx, bundletest.Open(t, path), o)
		},
		"stream": func(ctx context.Context, n *Node, o LoadOptions) (*Report, error) {
			return loadAny(ctx, t, n, bytes.NewReader(contentOf(t, path)), o)
		},
	}
	for _, way := range ways {
		for from, do := range loads {
			t.Run(way.name+", "+from, func(t *testing.T) {
				n.wipe(t)
				before := n.take(t)
				way.set(n)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a load that waits for ever fails
				defer cancel()
				_, err := do(ctx, n, LoadOptions{OnStart: func(int64) { must(t, machine.Kill()) }})
				if e, ok := errors.AsType[*UnavailableError](err); !ok || e.Reason != Gone || e.Address != machine.Address() || ctx.Err() != nil {
					t.Errorf("error: %v, want an UnavailableError (%s)", err, Gone)
				}
				must(t, machine.Restart(t.Context()))
				n = reconnect(outer, machine)
				if r, err := do(t.Context(), n, LoadOptions{}); err != nil || r.UpToDate() {
					t.Errorf("again: %+v, %v", r, err)
				}
				if after := n.take(t); len(after.Leases) > len(before.Leases) || len(after.Ingests) > 0 {
					t.Errorf("left behind: leases %v, ingests %v", after.Leases, after.Ingests)
				}
			})
		}
	}
}

// busyStore reports each writer that containerd refuses because the ref is locked.
type busyStore struct {
	content.Store
	busy func(ref string)
}

func (s *busyStore) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	var o content.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	w, err := s.Store.Writer(ctx, opts...)
	if errdefs.IsUnavailable(err) {
		s.busy(o.Ref)
	}
	return w, err
}

// TestWaitForBusyBlob loads while the load of another bundle writes a blob of this one.
func TestWaitForBusyBlob(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 1 << 20}}}}})
	ref := ingestRef(s.manifest(name).Layers[0].Digest)
	other, err := n.content.Writer(n.namespaced(t), content.WithRef(ref))
	must(t, err)
	refused := 0
	n.content = &busyStore{n.content, func(got string) {
		if refused++; got != ref {
			t.Errorf("%s is busy, want %s only", got, ref)
		}
		if refused == 3 {
			must(t, other.Close())
		}
	}}
	load(t, n, s.Bundle(name), LoadOptions{})
	if refused < 3 {
		t.Errorf("tried %d times, want 3 or more", refused)
	}
	// A cancelled load stops waiting.
	other, err = n.content.Writer(n.namespaced(t), content.WithRef("held"))
	must(t, err)
	defer other.Close()
	ctx, cancel := context.WithCancel(n.namespaced(t))
	n.content = &busyStore{n.content.(*busyStore).Store, func(string) { cancel() }}
	if _, err := n.writer(ctx, n.namespaced(t), content.WithRef("held")); !errors.Is(err, context.Canceled) {
		t.Errorf("error: %v, want the context's", err)
	}
}
