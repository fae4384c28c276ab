//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// TestTreeEqualsImport compares the root file system of an image with what containerd's import
// unpacks: whiteouts, opaque directories, links, devices, attributes; gzip, zstd and plain
// layers.
func TestTreeEqualsImport(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	name := s.Image("acme/odd", "v1", registrytest.Image{Layers: oddLayers()})
	path := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: name})
	b := bundletest.Open(t, path)

	machine, n := connect(t)
	if out, err := machine.Ctr("images", "import", path); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	selected, err := selectImages(b, n.server.Platform)
	must(t, err)
	top := selected.images[0].top()
	want := n.tree(t, top)
	compare := func(t *testing.T, n *Node, r *Report, err error) {
		t.Helper()
		must(t, err)
		if r.Layers != 4 {
			t.Errorf("layers unpacked: %d, want 4", r.Layers)
		}
		if d := cmp.Diff(want, n.tree(t, top)); d != "" {
			t.Errorf("root file system (-import +load):\n%s", d)
		}
	}
	streams := map[string]string{"bundle": path, "gzip": bundletest.Compress(t, path, archive.Gzip), "zstd": bundletest.Compress(t, path, archive.Zstd)}
	for _, f := range forms {
		streams[f.name] = s.other(f, name)
	}
	for _, way := range ways {
		for _, discard := range []bool{false, true} {
			o := LoadOptions{DiscardLayers: discard}
			wiped(t, n, fmt.Sprint(way.name, ", discard ", discard), func(t *testing.T, n *Node) {
				way.set(n)
				r, err := n.Load(t.Context(), b, o)
				compare(t, n, r, err)
			})
			for kind, stream := range streams {
				if discard != (kind == "zstd") && way.name != "side by side" {
					continue // these do not depend on each other
				}
				wiped(t, n, fmt.Sprint(way.name, ", discard ", discard, ", stream of ", kind), func(t *testing.T, n *Node) {
					way.set(n)
					r, err := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, stream)), o)
					compare(t, n, r, err)
				})
			}
		}
	}
	t.Run("native", func(t *testing.T) {
		n.wipe(t)
		n, err := Connect(t.Context(), Options{Address: machine.Address(), Snapshotter: "native"})
		must(t, err)
		defer n.Close()
		if !n.local || n.snapshotter.rebase {
			t.Errorf("native: local %t, rebase %t", n.local, n.snapshotter.rebase)
		}
		load(t, n, b, LoadOptions{})
		// This snapshotter copies the directories of the layers below, which get new
		// times, also when containerd unpacks.
		want, got := withoutDirs(want), withoutDirs(n.tree(t, top))
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("root file system (-overlayfs +native):\n%s", d)
		}
	})
}

// withoutDirs returns the tree without its directories.
func withoutDirs(tree map[string]string) map[string]string {
	rest := maps.Clone(tree)
	maps.DeleteFunc(rest, func(_, line string) bool { return strings.HasPrefix(line, "d") })
	return rest
}

// oddLayers returns the test registry's, except for a hard link from one layer into another:
// containerd cannot create one above an overlay, and image builders copy the file.
func oddLayers() []*registrytest.Layer {
	layers := append(registrytest.OddLayers(), &registrytest.Layer{Seed: 9, Files: []registrytest.File{
		{Name: "tmp/in-a-folder-of-below", Size: 10}, {Name: "home/.wh.notes"}, {Name: "new/folder/file", Size: 10},
	}})
	for i, l := range layers {
		own := map[string]bool{}
		for _, f := range l.Files {
			own[f.Name] = true
		}
		kept := slices.DeleteFunc(slices.Clone(l.Files), func(f registrytest.File) bool { return f.Type == tar.TypeLink && !own[f.Link] })
		layers[i] = &registrytest.Layer{Seed: l.Seed, Compression: l.Compression, Files: kept}
	}
	return layers
}

// TestManyLayersInAnyOrder loads images of many layers that build on each other in several
// ways; each image must have all its files.
func TestManyLayersInAnyOrder(t *testing.T) {
	t.Parallel()
	const depth = 12
	s := newShelf(t)
	var layers []*registrytest.Layer
	for i := range depth {
		layers = append(layers, &registrytest.Layer{Seed: uint64(i), Files: []registrytest.File{{Name: fmt.Sprint("f", i), Size: int64(1000 * (depth - i))}}})
	}
	var names []string
	sets := [][]*registrytest.Layer{layers, layers[:5], append(slices.Clone(layers[:3]), layers[9:]...), {layers[7], layers[7], layers[2]}}
	for i, set := range sets {
		names = append(names, s.Image(fmt.Sprint("acme/many", i), "v1", registrytest.Image{Layers: set}))
	}
	b := s.Bundle(names...)
	_, n := connect(t)
	for _, way := range ways {
		wiped(t, n, way.name, func(t *testing.T, n *Node) {
			way.set(n)
			load(t, n, b, LoadOptions{Jobs: 3})
			n.collect(t) // a snapshot that does not refer to its parent would lose it
			selected, err := selectImages(b, n.server.Platform)
			must(t, err)
			for i, img := range selected.images {
				got := n.tree(t, img.top())
				for _, l := range sets[i] {
					if name := l.Files[0].Name; got[name] == "" {
						t.Errorf("image %d lacks %s", i, name)
					}
				}
			}
		})
	}
}
