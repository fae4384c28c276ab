//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/nodetest"
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
	layers := append(ordinaryLayers(), oddLayers()...)
	name := s.Image("acme/odd", "v1", registrytest.Image{Layers: layers})
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
		if r.Layers != len(layers) {
			t.Errorf("layers unpacked: %d, want %d", r.Layers, len(layers))
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
		// containerd 1.6 does not report the directory of this snapshotter.
		if n.local == strings.HasPrefix(os.Getenv(nodetest.VersionVariable), "1.6.") || n.snapshotter.rebase {
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

// ordinaryLayers returns layers as builders of images make them, of which load leaves nothing
// to containerd's extractor: one at the bottom, and one that hides some of its files.
func ordinaryLayers() []*registrytest.Layer {
	const netRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	return []*registrytest.Layer{
		{Seed: 21, Files: []registrytest.File{
			{Name: "usr/"}, {Name: "usr/bin/"}, {Name: "usr/bin/tool", Mode: 0o755, Size: 300000}, {Name: "usr/bin/perl", Mode: 0o755, Size: 2000},
			{Name: "usr/bin/perl5", Mode: 0o755, Type: tar.TypeLink, Link: "usr/bin/perl"}, {Name: "usr/bin/sudo", Mode: 0o4755, Size: 100},
			{Name: "usr/bin/ping", Mode: 0o755, Size: 100, Xattrs: map[string]string{"security.capability": netRaw}},
			{Name: "usr/bin/sh", Type: tar.TypeSymlink, Link: "tool", Mode: 0o777}, {Name: "lib", Type: tar.TypeSymlink, Link: "usr/lib", Mode: 0o777},
			{Name: "usr/lib/"}, {Name: "usr/lib/old/"}, {Name: "usr/lib/old/so", Size: 4096}, {Name: "usr/lib/stays", Size: 1},
			{Name: "var/"}, {Name: "var/mail/", Mode: 0o2775, GID: 8}, {Name: "var/mail/box", UID: 1000, GID: 8, Mode: 0o660, Size: 10},
			{Name: "var/tmp/", Mode: 0o1777}, {Name: "var/cache/"}, {Name: "var/cache/a", Size: 700}, {Name: "var/cache/b/"}, {Name: "var/cache/b/c", Size: 5},
		}},
		{Seed: 22, Files: []registrytest.File{
			{Name: "usr/"}, {Name: "usr/bin/"}, {Name: "usr/bin/tool", Mode: 0o750, GID: 5, Size: 400}, {Name: "usr/bin/.wh.sh"},
			{Name: "usr/lib/"}, {Name: "usr/lib/.wh.old"}, {Name: "var/", Mode: 0o711}, {Name: "var/cache/", UID: 7}, {Name: "var/cache/.wh..wh..opq"},
			{Name: "var/cache/b/"}, {Name: "var/cache/b/new", Size: 513}, {Name: "var/mail/", Mode: 0o2775, GID: 8}, {Name: "var/mail/.wh.box"},
		}},
	}
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
