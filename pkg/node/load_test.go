//go:build linux

package node

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// connect starts a containerd and connects to it.
func connect(t *testing.T, opts ...nodetest.Options) (*nodetest.Node, *Node) {
	t.Helper()
	machine := nodetest.Start(t, opts...)
	return machine, reconnect(t, machine)
}

// reconnect connects to a running containerd.
func reconnect(t *testing.T, machine *nodetest.Node) *Node {
	t.Helper()
	n, err := Connect(t.Context(), Options{Address: machine.Address()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// load loads a bundle and fails the test on any error.
func load(t *testing.T, n *Node, b *archive.Reader, o LoadOptions) *Report {
	t.Helper()
	r, err := n.Load(t.Context(), b, o)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return r
}

// ways are the ways in which layers get onto a node.
var ways = []struct {
	name string
	set  func(*Node)
}{
	{"side by side", func(*Node) {}},
	{"parents first", func(n *Node) { n.snapshotter.rebase = false }},
	{"by containerd", func(n *Node) { n.local = false }},
}

func TestLoadedImageRuns(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	name := s.Hello("acme/hello", "v1")
	b := s.Bundle(name, s.Sandbox())
	machine, n := connect(t)
	for _, way := range ways {
		wiped(t, n, way.name, func(t *testing.T, n *Node) {
			way.set(n)
			r := load(t, n, b, LoadOptions{})
			for _, i := range r.Images {
				if i.Status != Loaded || i.CRI != Ready || !i.Pinned {
					t.Errorf("report: %+v", i)
				}
			}
			if n.local && len(r.Warnings) > 0 {
				t.Errorf("warnings: %v", r.Warnings)
			}
			out, err := machine.Ctr("images", "ls")
			if err != nil || !strings.Contains(out, name+" ") {
				t.Errorf("ctr images ls: %v\n%s", err, out)
			}
			out, err = machine.RunContainer(t.Context(), name)
			if want := "hello from acme/hello\n"; err != nil || out != want {
				t.Errorf("container: %q, %v; want %q", out, err, want)
			}
		})
	}
}

func TestSecondLoadWritesNothing(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	for _, discard := range []bool{false, true} {
		n.wipe(t)
		s := newShelf(t)
		b := s.Bundle(s.calico(0)...)
		o := LoadOptions{DiscardLayers: discard}
		first := load(t, n, b, o)
		if first.UpToDate() || first.Layers == 0 || first.Ingested == 0 {
			t.Errorf("first load: %+v", first)
		}
		before := n.take(t)
		total := int64(-1)
		o.OnStart = func(n int64) { total = n }
		o.OnBytes = func(int64) { t.Error("second load: bytes were read") }
		second := load(t, n, b, o)
		if !second.UpToDate() || second.Ingested+second.Unpacked != 0 || second.Skipped == 0 || total != 0 {
			t.Errorf("second load: %+v, progress to %d", second, total)
		}
		n.take(t).same(t, before)
		// Nor does one after a garbage collection and a restart.
		n.collect(t)
		must(t, machine.Restart(t.Context()))
		n = reconnect(t, machine)
		if third := load(t, n, b, o); !third.UpToDate() {
			t.Errorf("load after a garbage collection and a restart: %+v", third)
		}
		n.take(t).same(t, before)
	}
}

func TestSharedLayersUnpackedOnce(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	names := s.calico(0)
	chains, blobs := map[digest.Digest]bool{}, map[digest.Digest]int64{}
	selected, err := selectImages(s.Bundle(names...), n.server.Platform)
	must(t, err)
	for _, img := range selected.images {
		for _, l := range img.layers {
			blobs[l.Digest] = l.Size
			chains[l.chain] = true
		}
	}
	var progress, total atomic.Int64
	r := load(t, n, s.Bundle(names...), LoadOptions{
		OnStart: func(n int64) { total.Store(n) },
		OnBytes: func(n int64) { progress.Add(n) },
	})
	if r.Layers != len(chains) {
		t.Errorf("layers unpacked: %d, want %d", r.Layers, len(chains))
	}
	if progress.Load() != total.Load() || total.Load() == 0 {
		t.Errorf("progress: %d of %d", progress.Load(), total.Load())
	}
	for d, size := range blobs {
		info, err := n.content.Info(n.namespaced(t), d)
		if err != nil || info.Size != size {
			t.Errorf("layer %s: %+v, %v", d, info, err)
		}
		want := "calico/cni,calico/kube-controllers,calico/node"
		got := info.Labels["containerd.io/distribution.source.docker.io"]
		if !strings.Contains(want, got) || got == "" || info.Labels[labelUncompressed] == "" {
			t.Errorf("layer %s: labels %v", d, info.Labels)
		}
	}
}

func TestDamagedLayerLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	names := s.calico(20)
	bad := s.manifest(names[1]).Layers[1].Digest
	path := s.File(archive.PlanOptions{}, wantedAll(names)...)
	_, shared := connect(t)
	try := func(t *testing.T, n *Node, set func(*Node), o LoadOptions) {
		set(n)
		before := n.take(t)
		bundletest.Flip(t, path, bad)
		_, err := n.Load(t.Context(), bundletest.Open(t, path), o)
		if !errors.Is(err, archive.ErrDamaged) || !strings.Contains(err.Error(), bad.String()) {
			t.Errorf("error: %v, want one about %s", err, bad)
		}
		n.take(t).same(t, before)
		bundletest.Flip(t, path, bad) // the same bit again: valid
		load(t, n, bundletest.Open(t, path), o)
	}
	for _, way := range ways {
		wiped(t, shared, way.name, func(t *testing.T, n *Node) { try(t, n, way.set, LoadOptions{}) })
	}
	wiped(t, shared, "discarded", func(t *testing.T, n *Node) { try(t, n, ways[0].set, LoadOptions{DiscardLayers: true}) })
}

func TestCancelledLoadLeavesNothing(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	b := s.Bundle(s.calico(20)...)
	_, n := connect(t)
	for _, way := range ways {
		wiped(t, n, way.name, func(t *testing.T, n *Node) {
			way.set(n)
			before := n.take(t)
			ctx, cancel := context.WithCancel(t.Context())
			var left atomic.Int64
			o := LoadOptions{OnStart: func(total int64) { left.Store(total / 2) }}
			o.OnBytes = func(n int64) {
				if left.Add(-n) < 0 {
					cancel()
				}
			}
			if _, err := n.Load(ctx, b, o); !errors.Is(err, context.Canceled) {
				t.Errorf("error: %v, want a cancelled context", err)
			}
			n.take(t).same(t, before)
			load(t, n, b, LoadOptions{})
		})
	}
}

// TestLoadAfterCancelledLoad begins while another load is being cancelled, whose cleaning must
// not delete the lease of this one.
func TestLoadAfterCancelledLoad(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	s := newShelf(t)
	b := s.Bundle(s.calico(20)...)
	other := reconnect(t, machine)
	ctx, cancel := context.WithCancel(t.Context())
	started, once := make(chan struct{}), sync.Once{}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := n.Load(ctx, b, LoadOptions{OnBytes: func(int64) {
			once.Do(func() { close(started) })
			<-ctx.Done()
		}})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled load: %v", err)
		}
	})
	<-started
	wg.Go(func() {
		if _, err := other.Load(t.Context(), b, LoadOptions{}); err != nil {
			t.Errorf("load after it: %v", err)
		}
	})
	cancel()
	wg.Wait()
	n.collect(t)
	if _, err := n.Check(t.Context(), b); err != nil {
		t.Error(err)
	}
}

// walked is a content store that calls after when a Walk has ended.
type walked struct {
	content.Store
	after func()
}

func (w *walked) Walk(ctx context.Context, f content.WalkFunc, filters ...string) error {
	err := w.Store.Walk(ctx, f, filters...)
	w.after()
	return err
}

// TestCollectedMeanwhile loads an image whose config and layer are on the node until a garbage
// collection removes them, after the load has found them and before its lease has them.
func TestCollectedMeanwhile(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	name := s.simple("acme/app", "v1", 1)
	b := s.Bundle(name)
	load(t, n, b, LoadOptions{})
	ctx, service := n.namespaced(t), n.client.LeasesService()
	lease, err := service.Create(ctx, leases.WithRandomID())
	must(t, err)
	left := []digest.Digest{s.manifest(name).Config.Digest, s.manifest(name).Layers[0].Digest}
	for _, d := range left {
		must(t, service.AddResource(ctx, lease, leases.Resource{ID: d.String(), Type: "content"}))
	}
	n.removeAll(t)
	n.collect(t)
	for _, d := range left {
		_, err := n.content.Info(ctx, d)
		must(t, err)
	}

	walks := 0
	n.content = &walked{n.content, func() {
		if walks++; walks == 2 { // the first one is outside of the transaction
			must(t, service.Delete(ctx, lease, leases.SynchronousDelete))
		}
	}}
	load(t, n, b, LoadOptions{})
	if walks != 3 {
		t.Errorf("%d inventories, want 3", walks)
	}
	n.collect(t)
	if _, err := n.Check(t.Context(), b); err != nil {
		t.Error(err)
	}
}

func TestMovedTagIsReported(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 100}}}}})
	first := s.Bundle(name)
	load(t, n, first, LoadOptions{})
	was := s.Added[name].Digest
	s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 2, Files: []registrytest.File{{Name: "a", Size: 100}}}}})
	second := s.Bundle(name)
	r := load(t, n, second, LoadOptions{})
	got := r.Images[0]
	want := ImageReport{Name: name, Target: s.Added[name].Digest, Image: s.manifest(name).Config.Digest,
		Status: Moved, Was: was, CRI: Ready, Pinned: true, Kubelet: KubeletUnknown}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
	var incomplete *IncompleteError
	_, err := n.Check(t.Context(), first)
	if !errors.Is(err, ErrIncomplete) || !errors.As(err, &incomplete) {
		t.Fatalf("check of the first bundle: %v, want an IncompleteError", err)
	}
	causes := []Cause{{CauseOther, name, "another image on this node: a pod would start with " + got.Image.String()}}
	if d := cmp.Diff(causes, incomplete.Causes); d != "" {
		t.Errorf("check of the first bundle (-want +got):\n%s", d)
	}
}

func TestConcurrentLoads(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	s := newShelf(t)
	names := s.calico(20)
	bundles := []*archive.Reader{s.Bundle(names...), s.Bundle(names...), s.Bundle(names[:2]...), s.Bundle(names[1:]...)}
	before := n.take(t)
	var wg sync.WaitGroup
	for _, b := range bundles {
		other := reconnect(t, machine)
		wg.Go(func() {
			if _, err := other.Load(t.Context(), b, LoadOptions{}); err != nil {
				t.Errorf("load: %v", err)
			}
		})
	}
	wg.Wait()
	after := n.take(t)
	if d := cmp.Diff(before.Leases, after.Leases); d != "" || len(after.Ingests) > 0 {
		t.Errorf("left behind: ingests %v, leases %s", after.Ingests, d)
	}
	if i := slices.IndexFunc(after.Snapshots, func(s string) bool { return strings.HasPrefix(s, "Active") }); i >= 0 {
		t.Errorf("left behind: %s", after.Snapshots[i])
	}
	n.collect(t)
	for _, b := range bundles {
		if _, err := n.Check(t.Context(), b); err != nil {
			t.Error(err)
		}
	}
}

// calico puts the three images of calico.yaml on the shelf, with about scale times 150 KiB of
// layers per platform.
func (s *shelf) calico(scale int) []string {
	s.T.Helper()
	all, err := s.Registry.AddCalico(registrytest.CalicoOptions{Scale: scale})
	must(s.T, err)
	var names []string
	for _, a := range all {
		names = append(names, s.Keep(a, nil))
	}
	return names
}

// manifest returns the image of a name for this machine's architecture.
func (s *shelf) manifest(name string) registrytest.Manifest {
	s.T.Helper()
	for _, m := range s.Added[name].Manifests {
		if m.Platform == nil || m.Platform.Architecture == runtime.GOARCH {
			return m
		}
	}
	s.T.Fatalf("%s has nothing for %s", name, runtime.GOARCH)
	return registrytest.Manifest{}
}

// wantedAll returns the names with all platforms.
func wantedAll(names []string) []bundletest.Wanted {
	var list []bundletest.Wanted
	for _, n := range names {
		list = append(list, bundletest.Wanted{Name: n})
	}
	return list
}
