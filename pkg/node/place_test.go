//go:build linux

package node

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
)

// folders makes image folders of the distributions below a temporary folder.
func folders(t *testing.T, make ...Distribution) []ImageFolder {
	t.Helper()
	root := t.TempDir()
	var all []ImageFolder
	for _, f := range ImageFolders() {
		f.Path = filepath.Join(root, f.Path)
		all = append(all, f)
		if slices.Contains(make, f.Distribution) {
			must(t, os.MkdirAll(f.Path, 0o755))
		}
	}
	return all
}

// files lists everything in a folder and in the one above.
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
	s := newShelf(t)
	name := s.simple("acme/a", "v1", 1)
	index := s.index("acme/multi", "v1", registrytest.Index{Format: registrytest.Docker, Images: []registrytest.Image{
		{Platform: "linux/amd64", Layers: []*registrytest.Layer{{Seed: 4, Files: []registrytest.File{{Name: "a", Size: 9}}}}},
		{Platform: "linux/arm64", Layers: []*registrytest.Layer{{Seed: 5, Files: []registrytest.File{{Name: "a", Size: 9}}}}},
	}})
	whole := s.file(archive.PlanOptions{}, wanted{name: name}, wanted{name: index})
	part := s.file(archive.PlanOptions{}, wanted{index, "linux/arm64"})
	flat := s.file(archive.PlanOptions{Flat: true}, wanted{index, "linux/arm64"})
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
			known := folders(t, row.in)
			i := slices.IndexFunc(known, func(f ImageFolder) bool { return f.Distribution == row.in })
			var total, counted atomic.Int64
			for range 2 { // the second replaces the first
				counted.Store(0)
				p, err := place(t.Context(), row.file, PlaceOptions{OnStart: total.Store, OnBytes: func(n int64) { counted.Add(n) }}, known)
				must(t, err)
				if d := cmp.Diff(row.warnings, kinds(p.Warnings)); d != "" || p.Distribution != row.in {
					t.Errorf("%s, warnings (-want +got):\n%s", p.Distribution, d)
				}
				want, err := os.ReadFile(row.file)
				must(t, err)
				got, err := os.ReadFile(filepath.Join(known[i].Path, "bundle.tar"))
				if err != nil || !slices.Equal(got, want) || p.Size != int64(len(want)) {
					t.Errorf("the copy has %d bytes, want %d; %v", len(got), len(want), err)
				}
			}
			if d := cmp.Diff([]string{"bundle.tar"}, files(t, known[i].Path)); d != "" {
				t.Errorf("files (-want +got):\n%s", d)
			}
			if counted.Load() > total.Load() || counted.Load() < total.Load()/2 {
				t.Errorf("progress: %d of %d", counted.Load(), total.Load())
			}
		})
	}
}

func TestPlaceNeedsOneFolder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "no bundle is opened")
	for want, known := range map[int][]ImageFolder{0: folders(t), 2: folders(t, K3s, K0s), 3: folders(t, K3s, RKE2, K0s)} {
		_, err := place(t.Context(), file, PlaceOptions{}, known)
		var folder *FolderError
		if !errors.As(err, &folder) || len(folder.Found) != want || len(folder.Looked) != 3 {
			t.Errorf("%d folders: %v", want, err)
		}
	}
	if _, err := place(t.Context(), file, PlaceOptions{Dir: filepath.Join(t.TempDir(), "none")}, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestPlaceLeavesNothingOfADamagedBundle(t *testing.T) {
	s := newShelf(t)
	name := s.simple("acme/a", "v1", 1)
	file := s.file(archive.PlanOptions{}, wanted{name: name})
	flip(t, file, s.manifest(name).Layers[0].Digest)
	known := folders(t, K0s)
	if _, err := place(t.Context(), file, PlaceOptions{}, known); !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("a flipped byte in a layer: %v", err)
	}
	if got := files(t, known[2].Path); len(got) > 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestPlaceRefusesForms(t *testing.T) {
	s := newShelf(t)
	name := s.simple("acme/a", "v1", 1)
	left := s.manifest(name).Layers[0].Digest
	diff := s.file(archive.PlanOptions{Omit: func(d digest.Digest) bool { return d == left }, Base: dg("base")}, wanted{name: name})
	packed := pack(t, s.file(archive.PlanOptions{}, wanted{name: name}), archive.Gzip)
	for _, row := range []struct {
		name, file string
		in         Distribution
	}{{"differential", diff, K3s}, {"compressed for k0s", packed, K0s}} {
		if _, err := place(t.Context(), row.file, PlaceOptions{}, folders(t, row.in)); !errors.Is(err, ErrForm) {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	p, err := place(t.Context(), packed, PlaceOptions{}, folders(t, RKE2))
	if err != nil || filepath.Base(p.Path) != "bundle.tar.gz" {
		t.Errorf("compressed for RKE2: %+v, %v", p, err)
	}
	renamed := filepath.Join(t.TempDir(), "calico")
	must(t, os.Rename(packed, renamed))
	p, err = place(t.Context(), renamed, PlaceOptions{Dir: t.TempDir()}, nil)
	if err != nil || filepath.Base(p.Path) != "calico.tar.gz" || p.Distribution != "" {
		t.Errorf("without an ending: %+v, %v", p, err)
	}
}
