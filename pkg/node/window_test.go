//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/nodetest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// windowed returns a zstd layer with a window of 128 MiB: a tar and zeros behind it.
func windowed(plain []byte, zeros int) []byte {
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 17 << 3}
	block := func(kind, size int, content []byte) {
		head := kind<<1 | size<<3
		out = append(append(out, byte(head), byte(head>>8), byte(head>>16)), content...)
	}
	for len(plain) > 0 {
		n := min(len(plain), 128<<10)
		block(0, n, plain[:n])
		plain = plain[n:]
	}
	for ; zeros > 0; zeros -= min(zeros, 128<<10) {
		block(1, min(zeros, 128<<10), []byte{0})
	}
	return append(out, 1, 0, 0)
}

// windowedImage writes a tarball with the layers, each with a window of 128 MiB and followed
// by zeros bytes.
func windowedImage(t *testing.T, name string, zeros int, layers ...[]byte) string {
	t.Helper()
	h := handmade{name: name, manifest: func(m *ocispec.Manifest) {
		for i := range m.Layers {
			m.Layers[i].MediaType = ocispec.MediaTypeImageLayerZstd
		}
	}}
	for _, l := range layers {
		h.layers = append(h.layers, windowed(l, zeros))
		h.diffs = append(h.diffs, digest.FromBytes(append(bytes.Clone(l), make([]byte, zeros)...)))
	}
	return h.write(t)
}

// TestLargeWindow loads layers with more window than a small bundle may need here, so that
// containerd unpacks them, and compares the files with those of plain layers.
func TestLargeWindow(t *testing.T) {
	t.Parallel()
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 600} }
	dir := tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}
	layers := [][]byte{tarOf(t, dir, file("d/a"), file("d/b")), tarOf(t, tar.Header{Name: "d/.wh.a", Typeflag: tar.TypeReg}, file("c"))}
	path := windowedImage(t, "docker.io/acme/window:v1", 0, layers...)
	machine, n := connect(t)
	b := bundletest.Open(t, path)
	selected, err := selectImages(b, n.server.Platform)
	must(t, err)
	top := selected.images[0].top()
	load(t, n, bundletest.Open(t, handmade{layers: layers}.write(t)), LoadOptions{})
	want := n.tree(t, top)
	for _, way := range ways {
		for _, o := range []LoadOptions{{}, {DiscardLayers: true}} {
			wiped(t, n, fmt.Sprintf("%s, discard %t", way.name, o.DiscardLayers), func(t *testing.T, n *Node) {
				way.set(n)
				load(t, n, b, o)
				if d := cmp.Diff(want, n.tree(t, top)); d != "" {
					t.Errorf("files (-plain +window):\n%s", d)
				}
			})
		}
	}
	wiped(t, n, "streamed", func(t *testing.T, n *Node) {
		_, err := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, path)), LoadOptions{})
		must(t, err)
		if d := cmp.Diff(want, n.tree(t, top)); d != "" {
			t.Errorf("files (-plain +window):\n%s", d)
		}
	})
	wiped(t, n, "in little memory", func(t *testing.T, n *Node) {
		path := windowedImage(t, "docker.io/acme/window:v2", 160<<20, layers[0], layers[1], tarOf(t, file("x")), tarOf(t, file("y")))
		c, err := order{Address: machine.Address(), Bundle: path}.run()
		if must(t, err); c.peak == 0 || c.peak > 96<<20 {
			t.Errorf("peak memory %d MiB, want at most 96", c.peak>>20)
		}
	})
}

// TestLargeWindowOnSmallDisk loads a bomb that containerd has to unpack.
func TestLargeWindowOnSmallDisk(t *testing.T) {
	t.Parallel()
	machine, n := connect(t, nodetest.Options{Dir: loopDisk(t, 256<<20)})
	before := n.take(t)
	var head bytes.Buffer
	const size = 2 << 30
	must(t, tar.NewWriter(&head).WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: size, Mode: 0o644}))
	path := bomb(t, ocispec.MediaTypeImageLayerZstd, windowed(head.Bytes(), size))
	least := watch(t, machine.Dir())
	_, err := n.Load(t.Context(), bundletest.Open(t, path), LoadOptions{})
	free, _ := least()
	var inflated *InflatedError
	if !errors.As(err, &inflated) || !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("error %v, want an InflatedError", err)
	}
	if free == 0 {
		t.Error("the disk was full")
	}
	n.take(t).same(t, before)
}

// TestLargeWindowDamaged loads a layer that containerd has to unpack and cannot.
func TestLargeWindowDamaged(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	before := n.take(t)
	good := windowed(tarOf(t, tar.Header{Name: "a", Typeflag: tar.TypeReg}), 0)
	for name, layer := range map[string][]byte{"cut": good[:len(good)-100], "no tar": windowed(bytes.Repeat([]byte("x"), 2000), 0), "another diffID": good} {
		_, err := n.Load(t.Context(), bundletest.Open(t, bomb(t, ocispec.MediaTypeImageLayerZstd, layer)), LoadOptions{})
		if !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("%s: %v, want damaged", name, err)
		}
		n.take(t).same(t, before)
	}
}
