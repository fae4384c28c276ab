//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// hostile returns hostile tarballs. Each must be refused and leave nothing on the node.
func hostile(t *testing.T) map[string]handmade {
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 600} }
	good := tarOf(t, file("a"))
	long := strings.Repeat("x", 300)
	rename := func(names ...string) func(*ocispec.Index) {
		return func(x *ocispec.Index) {
			for _, n := range names {
				d := x.Manifests[0]
				d.Annotations = map[string]string{"io.containerd.image.name": n}
				x.Manifests = append(x.Manifests, d)
			}
		}
	}
	layer := func(l []byte) handmade { return handmade{layers: [][]byte{good, l}, deep: true} }
	return map[string]handmade{
		"a name in capitals":          {layers: [][]byte{good}, name: "docker.io/ACME/app:v1"},
		"a name with a path":          {layers: [][]byte{good}, name: "docker.io/../../etc:v1"},
		"a name of two lines":         {layers: [][]byte{good}, name: "docker.io/acme/app:v1\nx"},
		"a name that is too long":     {layers: [][]byte{good}, name: "docker.io/" + long + ":v1"},
		"a digest that is another's":  {layers: [][]byte{good}, name: "docker.io/acme/app@" + dg("x").String()},
		"one good name, one bad":      {layers: [][]byte{good}, index: rename("docker.io/acme/good:v1", "docker.io/acme/bad:")},
		"another diffID":              {layers: [][]byte{good}, diffs: []digest.Digest{dg("x")}},
		"another size":                {layers: [][]byte{good}, manifest: func(m *ocispec.Manifest) { m.Layers[0].Size = 1 << 39 }},
		"a size below zero":           {layers: [][]byte{good}, manifest: func(m *ocispec.Manifest) { m.Layers[0].Size = -1 }},
		"a size beyond all":           {layers: [][]byte{good}, manifest: func(m *ocispec.Manifest) { m.Layers[0].Size = 1 << 62 }},
		"a layer that is not there":   {layers: [][]byte{good}, manifest: func(m *ocispec.Manifest) { m.Layers[0].Digest = dg("x") }},
		"no layer at all":             layer([]byte("this is no tar, but it has a digest and so it comes as far as here")),
		"gzip that is none":           layer([]byte("\x1f\x8b\x08 this is no gzip")),
		"zstd that is none":           layer([]byte("\x28\xb5\x2f\xfd this is no zstd")),
		"a tar that is cut":           layer(good[:700]),
		"a header with a wrong sum":   layer(append([]byte("x"), good[1:]...)),
		"a header of a megabyte":      layer(paxLayer(t, 2<<20)),
		"a name beyond the system's":  layer(tarOf(t, file(long))),
		"a hard link out of the tree": layer(tarOf(t, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "../../../../../../etc/hostname-of-none"})),
		"a hard link behind a link":   layer(tarOf(t, tar.Header{Name: "out", Typeflag: tar.TypeSymlink, Linkname: "/../../../../../../etc"}, tar.Header{Name: "h", Typeflag: tar.TypeLink, Linkname: "out/passwd"})),
		"a hard link to a directory":  layer(tarOf(t, tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755}, tar.Header{Name: "d/h", Typeflag: tar.TypeLink, Linkname: "d"})),
		"a whiteout of the tree":      layer(tarOf(t, file(".wh..."))),
		"a whiteout of a directory":   layer(tarOf(t, file("d/.wh.."))),
		"a sparse file of old GNU":    layer(sparseLayer(t, 1024)),
	}
}

// structural returns tarballs with an invalid structure.
func structural(t *testing.T) map[string][]byte {
	t.Helper()
	sound := contentOf(t, handmade{layers: [][]byte{tarOf(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 9})}}.write(t))
	with := func(more func(*tarWriter)) []byte {
		return contentOf(t, handmade{layers: [][]byte{tarOf(t, tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 9})}, more: more}.write(t))
	}
	return map[string][]byte{
		"a path out of the layout": with(func(w *tarWriter) { w.file("blobs/../../etc/cron.d/x", []byte("x")) }),
		"an absolute path":         with(func(w *tarWriter) { w.file("/etc/cron.d/x", []byte("x")) }),
		"a link": with(func(w *tarWriter) {
			w.put(tar.Header{Name: "blobs/sha256/" + dg("x").Encoded(), Typeflag: tar.TypeSymlink, Linkname: "/etc/shadow"}, nil)
		}),
		"a device":            with(func(w *tarWriter) { w.put(tar.Header{Name: "blobs/x", Typeflag: tar.TypeChar}, nil) }),
		"index.json twice":    with(func(w *tarWriter) { w.file("index.json", []byte("{}")) }),
		"more behind the end": append(bytes.Clone(sound), "more"...),
		"a sparse entry":      slices.Concat(sparseLayer(t, 1<<40)[:1024], sound),
	}
}

// TestHostileTarballsLeaveNothing loads each from a file and as a stream, in every way.
func TestHostileTarballsLeaveNothing(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	paths, deep := map[string]string{}, map[string]bool{}
	for name, h := range hostile(t) {
		paths[name], deep[name] = h.write(t), h.deep
	}
	for name, raw := range structural(t) {
		paths[name] = filepath.Join(t.TempDir(), "structure.tar")
		must(t, os.WriteFile(paths[name], raw, 0o600))
	}
	before := n.take(t)
	for name, path := range paths {
		for i, way := range ways {
			if i > 0 && !deep[name] {
				continue // refused before that
			}
			t.Run(name+", "+way.name, func(t *testing.T) {
				m := *n
				way.set(&m)
				r, err := openFile(path)
				if err == nil {
					defer r.Close()
					_, err = m.Load(t.Context(), r, LoadOptions{})
				}
				refused(t, &m, "from the file", err)
				n.take(t).same(t, before)
				_, err = loadAny(t.Context(), t, &m, bytes.NewReader(contentOf(t, path)), LoadOptions{DiscardLayers: way.name == "parents first"})
				refused(t, &m, "as a stream", err)
				n.take(t).same(t, before)
				if t.Failed() { // keep the other cases independent
					n.wipe(t)
				}
			})
		}
	}
}

// refused fails the test unless err is that of a damaged bundle. Where containerd unpacks, its
// error about a readable tar has no type.
func refused(t *testing.T, n *Node, how string, err error) {
	t.Helper()
	if err == nil || n.local && !errors.Is(err, archive.ErrDamaged) {
		t.Errorf("%s: %v, want a damaged bundle", how, err)
	}
}

// TestOddTarballsLoad loads odd but valid tarballs: the tree is the one that containerd
// unpacks, and nothing is outside of it.
func TestOddTarballsLoad(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	outside := t.TempDir()
	up := strings.Repeat("../", 20)
	file := func(name string, mode int64) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: mode, Size: 5, ModTime: time.Unix(1e9, 0)}
	}
	link := func(name, to string) tar.Header {
		return tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: to, ModTime: time.Unix(1e9, 0)}
	}
	labels := map[string]string{
		"containerd.io/snapshot.ref": "evil", "containerd.io/uncompressed": dg("evil").String(), "containerd.io/gc.root": "evil",
		"containerd.io/gc.ref.content.evil": dg("evil").String(), "containerd.io/snapshot/overlayfs.idmap": "evil", "evil": "evil",
	}
	h := handmade{
		layers: [][]byte{
			tarOf(t, file("/"+outside+"/absolute", 0o644), file(up+outside+"/dots", 0o644), file("bin/su", 0o4755), file("bin/wall", 0o2755),
				link("out", outside), link("up", up+outside), tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3, ModTime: time.Unix(1e9, 0)}),
			tarOf(t, file("out/through", 0o644), file("up/through", 0o644), file("twice", 0o600), file("twice", 0o644),
				tar.Header{Name: "hard", Typeflag: tar.TypeLink, Linkname: "/twice"}, link("loop", "loop"), file("./bin/.wh.wall", 0o644)),
			// Names that are links when the next entry replaces or follows them.
			tarOf(t, link("f", outside+"/f"), file("f", 0o644), link("d", outside), tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Unix(1e9, 0)},
				file("d/within", 0o644), link("l", outside), tar.Header{Name: "soft", Typeflag: tar.TypeLink, Linkname: "l"}, file("l/through", 0o644),
				file("l/.wh..wh..opq", 0o644)),
		},
		manifest: func(m *ocispec.Manifest) {
			m.Annotations, m.Config.Annotations = labels, labels
			for i := range m.Layers {
				m.Layers[i].Annotations = labels
			}
		},
		config: func(i *ocispec.Image) { i.Config.Labels = labels },
	}
	path := h.write(t)
	if out, err := machine.Ctr("images", "import", path); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b := bundletest.Open(t, path)
	s, err := selectImages(b, n.server.Platform)
	must(t, err)
	want := n.tree(t, s.images[0].top())
	for _, way := range ways {
		for _, streamed := range []bool{false, true} {
			wiped(t, n, fmt.Sprint(way.name, ", streamed ", streamed), func(t *testing.T, n *Node) {
				way.set(n)
				if streamed {
					_, err := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, path)), LoadOptions{})
					must(t, err)
				} else {
					load(t, n, b, LoadOptions{})
				}
				if d := cmp.Diff(want, n.tree(t, s.images[0].top())); d != "" {
					t.Errorf("root file system (-import +load):\n%s", d)
				}
				if left, err := os.ReadDir(outside); err != nil || len(left) > 0 {
					t.Errorf("outside: %v, %v", left, err)
				}
				if text := n.labelsOf(t); strings.Contains(text, "evil") || strings.Contains(text, dg("evil").String()) {
					t.Errorf("annotations of the image became labels:\n%s", text)
				}
			})
		}
	}
}

// labelsOf prints the labels of everything on the node.
func (n *Node) labelsOf(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	must(t, n.snapshots.Walk(n.namespaced(t), func(_ context.Context, i snapshots.Info) error {
		fmt.Fprintln(&all, i.Name, i.Labels)
		return nil
	}))
	st := n.take(t)
	fmt.Fprintln(&all, st.Records, st.Blobs)
	return all.String()
}
