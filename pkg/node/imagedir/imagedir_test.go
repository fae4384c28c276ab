package imagedir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// directories returns the default directories below a temporary one, and creates those of
// the distributions in exist.
func directories(t *testing.T, exist ...Distribution) []directory {
	t.Helper()
	root := t.TempDir()
	var all []directory
	for _, d := range defaults {
		d.path = filepath.Join(root, d.path)
		all = append(all, d)
		if slices.Contains(exist, d.distribution) {
			must(t, os.MkdirAll(d.path, 0o755))
		}
	}
	return all
}

// small puts an image of one layer on the shelf.
func small(s *bundletest.Shelf) string {
	layer := &registrytest.Layer{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 100_000}}}
	return s.Image("acme/a", "v1", registrytest.Image{Layers: []*registrytest.Layer{layer}})
}

// files lists the files of a directory and of its parent.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		list, err := os.ReadDir(d)
		must(t, err)
		for _, e := range list {
			if !e.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	return names
}

func kinds(all []Warning) (k []Kind) {
	for _, w := range all {
		k = append(k, w.Kind)
	}
	return k
}

func TestPlace(t *testing.T) {
	s := bundletest.New(t)
	name := small(s)
	index := s.Index("acme/multi", "v1", registrytest.Index{Format: registrytest.Docker, Images: []registrytest.Image{
		{Platform: "linux/amd64", Layers: []*registrytest.Layer{{Seed: 4, Files: []registrytest.File{{Name: "a", Size: 9}}}}},
		{Platform: "linux/arm64", Layers: []*registrytest.Layer{{Seed: 5, Files: []registrytest.File{{Name: "a", Size: 9}}}}},
	}})
	whole := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: name}, bundletest.Wanted{Name: index})
	part := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: index, Platform: "linux/arm64"})
	flat := s.File(archive.PlanOptions{Flat: true}, bundletest.Wanted{Name: index, Platform: "linux/arm64"})
	always := []Kind{WarnRestart, WarnNoPin}
	for _, row := range []struct {
		name, file string
		in         Distribution
		warnings   []Kind
	}{
		{"k3s", whole, K3s, always},
		{"RKE2, sparse", part, RKE2, append([]Kind{WarnSparse}, always...)},
		{"RKE2, flat", flat, RKE2, always},
		{"k0s, sparse", part, K0s, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			known := directories(t, row.in)
			i := slices.IndexFunc(known, func(d directory) bool { return d.distribution == row.in })
			var total, counted atomic.Int64
			for range 2 { // the second replaces the first
				counted.Store(0)
				p, err := place(t.Context(), row.file, Options{OnStart: total.Store, OnBytes: func(n int64) { counted.Add(n) }}, known)
				must(t, err)
				if d := cmp.Diff(row.warnings, kinds(p.Warnings)); d != "" || p.Distribution != row.in {
					t.Errorf("%s, warnings (-want +got):\n%s", p.Distribution, d)
				}
				want, err := os.ReadFile(row.file)
				must(t, err)
				got, err := os.ReadFile(filepath.Join(known[i].path, "bundle.tar"))
				if err != nil || !slices.Equal(got, want) || p.Size != int64(len(want)) {
					t.Errorf("the copy has %d bytes, want %d; %v", len(got), len(want), err)
				}
			}
			if d := cmp.Diff([]string{"bundle.tar"}, files(t, known[i].path)); d != "" {
				t.Errorf("files (-want +got):\n%s", d)
			}
			if counted.Load() != total.Load() {
				t.Errorf("progress: %d of %d", counted.Load(), total.Load())
			}
		})
	}
}

func TestPlaceNeedsOneDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "not opened")
	for want, known := range map[int][]directory{0: directories(t), 2: directories(t, K3s, K0s), 3: directories(t, K3s, RKE2, K0s)} {
		_, err := place(t.Context(), file, Options{}, known)
		var de *DirectoryError
		if !errors.As(err, &de) || len(de.Found) != want || len(de.Tried) != 3 {
			t.Errorf("%d directories: %v", want, err)
		}
	}
	if _, err := place(t.Context(), file, Options{Dir: filepath.Join(t.TempDir(), "none")}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
}

func TestPlaceRemovesDamagedCopy(t *testing.T) {
	s := bundletest.New(t)
	name := small(s)
	file := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: name})
	bundletest.Flip(t, file, s.Added[name].Manifests[0].Layers[0].Digest)
	known := directories(t, K0s)
	if _, err := place(t.Context(), file, Options{}, known); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("a flipped byte in a layer: %v", err)
	}
	if got := files(t, known[2].path); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestPlaceRefusesForms(t *testing.T) {
	s := bundletest.New(t)
	name := small(s)
	omitted := s.Added[name].Manifests[0].Layers[0].Digest
	diff := s.File(archive.PlanOptions{Omit: func(d digest.Digest) bool { return d == omitted }, Base: digest.FromString("base")}, bundletest.Wanted{Name: name})
	packed := bundletest.Compress(t, s.File(archive.PlanOptions{}, bundletest.Wanted{Name: name}), archive.Gzip)
	for _, row := range []struct {
		name, file string
		in         Distribution
	}{{"differential", diff, K3s}, {"compressed for k0s", packed, K0s}} {
		if _, err := place(t.Context(), row.file, Options{}, directories(t, row.in)); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	var total, counted atomic.Int64
	p, err := place(t.Context(), packed, Options{OnStart: total.Store, OnBytes: func(n int64) { counted.Add(n) }}, directories(t, RKE2))
	if counted.Load() != total.Load() {
		t.Errorf("progress: %d of %d", counted.Load(), total.Load())
	}
	if err != nil || filepath.Base(p.Path) != "bundle.tar.gz" {
		t.Errorf("compressed for RKE2: %+v, %v", p, err)
	}
	renamed := filepath.Join(t.TempDir(), "calico")
	must(t, os.Rename(packed, renamed))
	p, err = place(t.Context(), renamed, Options{Dir: t.TempDir()}, nil)
	if err != nil || filepath.Base(p.Path) != "calico.tar.gz" || p.Distribution != "" {
		t.Errorf("without an extension: %+v, %v", p, err)
	}
}
