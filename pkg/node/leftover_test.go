//go:build linux

package node

import (
	"context"
	"errors"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"

	"stowage/internal/registrytest"
)

// TestLeftoversOfCompleteLoad checks that a load removes what loads have left that were killed
// when all records existed, each at another point.
func TestLeftoversOfCompleteLoad(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 1000}}}}})
	b := s.Bundle(name)
	load(t, n, b, LoadOptions{})
	clean := n.take(t)
	begin := func(id digest.Digest) (*transaction, context.Context) {
		s, ctx, err := n.begin(n.namespaced(t), id)
		must(t, err)
		return s, ctx
	}
	for _, tt := range []struct {
		name  string
		leave func(*transaction, context.Context)
	}{
		{"lease and lock", func(s *transaction, _ context.Context) { must(t, s.lock.Close()) }},
		{"lease", func(s *transaction, ctx context.Context) { must(t, s.unlock(ctx)) }},
		{"lock", func(s *transaction, ctx context.Context) {
			must(t, s.node.client.LeasesService().Delete(ctx, s.lease, leases.SynchronousDelete))
			must(t, s.lock.Close())
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.leave(begin(b.Digest()))
			if st := n.take(t); len(st.Leases)+len(st.Ingests) == len(clean.Leases)+len(clean.Ingests) {
				t.Fatal("nothing is left to be ended")
			}
			if r := load(t, n, b, LoadOptions{}); !r.UpToDate() {
				t.Errorf("report: %+v", r)
			}
			n.take(t).same(t, clean)
		})
	}
	// What another bundle's load or a running one holds stays.
	other, otherCtx := begin(digest.FromString("other"))
	must(t, other.lock.Close())
	own, ownCtx := begin(b.Digest())
	before := n.take(t)
	load(t, n, b, LoadOptions{})
	n.take(t).same(t, before)
	must(t, own.end(ownCtx))
	must(t, other.end(otherCtx))
}

// reportingStore calls back before an image record is created.
type reportingStore struct {
	images.Store
	before func()
}

func (s reportingStore) Create(ctx context.Context, i images.Image) (images.Image, error) {
	s.before()
	return s.Store.Create(ctx, i)
}

// TestErrVisible cancels a load before, while and after image records are written.
func TestErrVisible(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	b := s.Bundle(s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 1000}}}}}))
	before := n.take(t)
	cancelled := func(set func(n *Node, o *LoadOptions, cancel func())) error {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		m, o := *n, LoadOptions{}
		set(&m, &o, cancel)
		_, err := m.Load(ctx, b, o)
		if err == nil || ctx.Err() == nil {
			t.Errorf("error: %v, context: %v", err, ctx.Err())
		}
		return err
	}
	atStart := func(_ *Node, o *LoadOptions, cancel func()) { o.OnStart = func(int64) { cancel() } }
	if err := cancelled(atStart); errors.Is(err, ErrVisible) {
		t.Errorf("before: %v", err)
	}
	n.take(t).same(t, before)
	err := cancelled(func(n *Node, _ *LoadOptions, cancel func()) { n.images = reportingStore{n.images, cancel} })
	if !errors.Is(err, ErrVisible) {
		t.Errorf("while records are written: %v", err)
	}
	load(t, n, b, LoadOptions{})
	if err := cancelled(atStart); !errors.Is(err, ErrVisible) {
		t.Errorf("after: %v", err)
	}
}
