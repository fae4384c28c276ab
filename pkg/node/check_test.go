//go:build linux

package node

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	s := newShelf(t)
	names := s.calico(0)
	b := s.Bundle(names...)
	before := n.take(t)
	r, err := n.Check(t.Context(), b)
	if !errors.Is(err, ErrIncomplete) || !slices.Equal(r.Missing(), sorted(names)) {
		t.Errorf("empty node: %v, missing %v", err, r.Missing())
	}
	n.take(t).same(t, before)
	load(t, n, b, LoadOptions{NoPin: true})
	before = n.take(t)
	r, err = n.Check(t.Context(), b)
	if err != nil || !r.UpToDate() {
		t.Errorf("after the load: %v, %+v", err, r)
	}
	for _, i := range r.Images {
		if i.Pinned || i.CRI != Ready {
			t.Errorf("after a load without pins: %+v", i)
		}
	}
	n.take(t).same(t, before)
	if out, err := machine.Ctr("images", "rm", names[1]); err != nil {
		t.Fatal(out, err)
	}
	r, err = n.Check(t.Context(), b)
	if !errors.Is(err, ErrIncomplete) || !slices.Equal(r.Missing(), names[1:2]) {
		t.Errorf("after one was removed: %v, missing %v", err, r.Missing())
	}
	// The next load pins what a pull or a load without pins has created.
	r = load(t, n, b, LoadOptions{})
	for _, i := range r.Images {
		if !i.Pinned || (i.Status == Loaded) != (i.Name == names[1]) {
			t.Errorf("load again: %+v", i)
		}
	}
	if r.Layers != 0 || r.Ingested != 0 {
		t.Errorf("load again: %d layers, %d bytes", r.Layers, r.Ingested)
	}
}

func sorted(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

// TestSelectPlatform loads a bundle with several platforms, a sparse one and a flat one: only
// the node's platform is loaded.
func TestSelectPlatform(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	var images []registrytest.Image
	for _, arch := range []string{"amd64", "arm64", "riscv64"} {
		images = append(images, registrytest.Image{Platform: "linux/" + arch,
			Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "arch", Body: []byte(arch)}}}}})
	}
	name := s.Index("acme/multi", "v1", registrytest.Index{Format: registrytest.Docker, Images: images, Attestation: true})
	own := "linux/" + runtime.GOARCH
	bundles := map[string]*archive.Reader{
		"all":    s.Bundle(name),
		"sparse": s.Pack(archive.PlanOptions{}, bundletest.Wanted{Name: name, Platform: own}),
		"flat":   s.Pack(archive.PlanOptions{Flat: true}, bundletest.Wanted{Name: name}),
	}
	for kind, b := range bundles {
		t.Run(kind, func(t *testing.T) {
			_, n := connect(t)
			r := load(t, n, b, LoadOptions{})
			m := s.manifest(name)
			want := ImageReport{Name: name, Target: s.Added[name].Digest, Image: m.Config.Digest, Status: Loaded, CRI: Ready, Pinned: true, Kubelet: KubeletUnknown}
			blobs := 4 // index, manifest, config, layer
			if kind == "flat" {
				want.Target, blobs = m.Digest, 3
			}
			if d := cmp.Diff([]ImageReport{want}, r.Images); d != "" {
				t.Errorf("report (-want +got):\n%s", d)
			}
			n.collect(t)
			if after := n.take(t); len(after.Blobs) != blobs || len(after.Snapshots) != 1 {
				t.Errorf("node: %d blobs, want %d; snapshots %v", len(after.Blobs), blobs, after.Snapshots)
			}
		})
	}
	t.Run("other", func(t *testing.T) {
		_, n := connect(t)
		before := n.take(t)
		n.server.Platform = "linux/s390x"
		_, err := n.Load(t.Context(), bundles["all"], LoadOptions{})
		var platform *PlatformError
		if !errors.As(err, &platform) || !slices.Equal(platform.Names, []string{name}) || !errors.Is(err, ErrIncomplete) {
			t.Errorf("error: %v, want a PlatformError for %s", err, name)
		}
		n.take(t).same(t, before)
	})
}

// TestDifferentialBundle loads a bundle that omits what an earlier one has.
func TestDifferentialBundle(t *testing.T) {
	t.Parallel()
	for _, discard := range []bool{false, true} {
		machine, n := connect(t)
		s := newShelf(t)
		base, top := registrytest.ProgramLayer(bundletest.Program(t), "bin/hello"), &registrytest.Layer{Files: []registrytest.File{{Name: "new", Size: 100}}}
		config := ocispec.ImageConfig{Entrypoint: []string{"/bin/hello", "it", "runs"}}
		old := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{base}, Config: config})
		new := s.Image("acme/app", "v2", registrytest.Image{Layers: []*registrytest.Layer{base, top}, Config: config})
		left := s.manifest(old).Layers[0].Digest
		diff := s.Pack(archive.PlanOptions{Omit: func(d digest.Digest) bool { return d == left }}, bundletest.Wanted{Name: new})
		before := n.take(t)
		var missing *MissingError
		_, err := n.Load(t.Context(), diff, LoadOptions{DiscardLayers: discard})
		if !errors.As(err, &missing) || !slices.Equal(missing.Digests, []digest.Digest{left}) || !errors.Is(err, ErrIncomplete) {
			t.Errorf("without the base: %v, want a MissingError about %s", err, left)
		}
		n.take(t).same(t, before)
		load(t, n, s.Bundle(old, s.Sandbox()), LoadOptions{DiscardLayers: discard})
		load(t, n, diff, LoadOptions{DiscardLayers: discard})
		n.collect(t)
		if out, err := machine.RunContainer(t.Context(), new); err != nil || out != "it runs\n" {
			t.Errorf("container: %q, %v", out, err)
		}
		// Layers that the node has only unpacked are not kept, with a warning.
		r := load(t, n, diff, LoadOptions{})
		if got := slices.Contains(kinds(r.Warnings), WarnNoBlob); got != discard {
			t.Errorf("base loaded with discard %t: warnings %v", discard, r.Warnings)
		}
	}
}

// TestDifferentialBundleAfterDiscardLayers loads a bundle with an omitted layer on top of
// other layers than before, so that its snapshot cannot be used, and without its blob.
func TestDifferentialBundleAfterDiscardLayers(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	s := newShelf(t)
	layer := func(seed uint64) *registrytest.Layer {
		return &registrytest.Layer{Seed: seed, Files: []registrytest.File{{Name: fmt.Sprint("f", seed), Size: 100}}}
	}
	old := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{layer(1), layer(2)}})
	new := s.Image("acme/app", "v2", registrytest.Image{Layers: []*registrytest.Layer{layer(3), layer(2)}})
	left := s.manifest(old).Layers[1].Digest
	base := s.Bundle(old)
	diff := s.Pack(archive.PlanOptions{Base: base.Digest(), Omit: func(d digest.Digest) bool { return d == left }}, bundletest.Wanted{Name: new})
	for _, tt := range []struct {
		name   string
		loaded bool
	}{{"base not loaded", false}, {"base loaded without its layers", true}} {
		if tt.loaded {
			load(t, n, base, LoadOptions{DiscardLayers: true})
		}
		before := n.take(t)
		for _, discard := range []bool{false, true} {
			_, err := n.Load(t.Context(), diff, LoadOptions{DiscardLayers: discard})
			missing, ok := errors.AsType[*MissingError](err)
			if !ok || missing.Base != base.Digest() || missing.Loaded != tt.loaded || !slices.Equal(missing.Digests, []digest.Digest{left}) {
				t.Errorf("%s, discard %t: %v, want a MissingError about %s", tt.name, discard, err, left)
			}
		}
		n.take(t).same(t, before)
	}
	// The hint advises this.
	load(t, n, base, LoadOptions{})
	if r := load(t, n, diff, LoadOptions{}); slices.Contains(kinds(r.Warnings), WarnNoBlob) {
		t.Errorf("warnings: %v", r.Warnings)
	}
}

// TestOmittedBlobReadFromNode unpacks a layer that the bundle omits and of which the node has
// only the blob.
func TestOmittedBlobReadFromNode(t *testing.T) {
	_, n := connect(t)
	s := newShelf(t)
	name := s.Image("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "f", Size: 3 << 20}}}}})
	full := s.Bundle(name)
	left := s.manifest(name).Layers[0]
	diff := s.Pack(archive.PlanOptions{Omit: func(d digest.Digest) bool { return d == left.Digest }}, bundletest.Wanted{Name: name})
	tx, ctx, err := n.begin(n.namespaced(t), full.Digest())
	must(t, err)
	defer tx.end(ctx)
	l := n.newLoader(full, LoadOptions{})
	_, err = l.ingest(ctx, &blobWork{desc: left})
	must(t, err)
	if r := load(t, n, diff, LoadOptions{}); r.Layers != 1 {
		t.Errorf("report: %+v", r)
	}
}

func TestArtifactStored(t *testing.T) {
	s := newShelf(t)
	a, err := s.Registry.AddArtifact("acme/rules", "v1", registrytest.Artifact{Type: "application/x-rules", Blobs: [][]byte{[]byte("allow all")}})
	name := s.Keep(a, err)
	b := s.Bundle(name)
	for _, v := range append([]string{""}, olderVersions(t)...) {
		t.Run("containerd "+v, func(t *testing.T) {
			_, n := connect(t, nodetest.Options{Version: v})
			r := load(t, n, b, LoadOptions{DiscardLayers: true})
			i := r.Images[0]
			if i.Status != Loaded || i.CRI != Ready || i.Pinned != keepsPins(n.server.Version) {
				t.Errorf("report: %+v", i)
			}
			if !slices.ContainsFunc(r.Warnings, func(w Warning) bool { return w.Kind == WarnNoFiles && strings.Contains(w.Text, name) }) {
				t.Errorf("warnings: %v", r.Warnings)
			}
			n.collect(t)
			for _, blob := range b.Blobs() {
				if _, err := n.content.Info(n.namespaced(t), blob.Digest); err != nil {
					t.Error(err)
				}
			}
			if r := load(t, n, b, LoadOptions{}); !r.UpToDate() {
				t.Errorf("second load: %+v", r)
			}
		})
	}
}

func TestWithoutCRI(t *testing.T) {
	_, n := connect(t, nodetest.Options{DisableCRI: true})
	s := newShelf(t)
	b := s.Bundle(s.calico(0)...)
	r := load(t, n, b, LoadOptions{})
	if r.Server.CRI != CRIAbsent || len(r.Warnings) != 1 || r.Warnings[0].Kind != WarnUnverified || r.Images[0].CRI != NotAsked {
		t.Errorf("report: %+v", r)
	}
	n.collect(t)
	if _, err := n.Check(t.Context(), b); err != nil {
		t.Error(err)
	}
}

// A missing sandbox image makes a load incomplete if containerd's configuration names it.
func TestMissingSandboxImage(t *testing.T) {
	s := newShelf(t)
	b := s.Bundle(s.calico(0)...)
	_, n := connect(t, nodetest.Options{SandboxImage: "example/pause:9"})
	r, err := n.Load(t.Context(), b, LoadOptions{})
	var incomplete *IncompleteError
	if !errors.As(err, &incomplete) || incomplete.Ready != 3 || incomplete.Total != 4 || r.Complete {
		t.Fatalf("complete %v, %v, want 3 of 4 images", r.Complete, err)
	}
	want := []Cause{{CauseNoSandbox, "docker.io/example/pause:9", "the sandbox image is neither on the node nor in the bundle: without it no pod starts"}}
	if d := cmp.Diff(want, r.NotReady); d != "" {
		t.Errorf("causes (-want +got):\n%s", d)
	}
	_, n = connect(t)
	r = load(t, n, b, LoadOptions{})
	if got := kinds(r.Warnings); !slices.Equal(got, []Kind{WarnNoSandbox}) || !strings.Contains(r.Warnings[0].Text, nodetest.DefaultSandboxImage) {
		t.Errorf("warnings: %v", r.Warnings)
	}
}
