//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
)

// form is how another program writes an image of the shelf into a tarball.
type form struct {
	name  string
	write func(*shelf, *tarWriter, string)
	plain bool // its layers are not compressed, so the image has another digest
}

// forms are those of docker save, ctr, skopeo and crane, entry by entry.
var forms = []form{
	{"docker save before 25", dockerSave24, true},
	{"docker save since 25", dockerSave25, true},
	{"index last", indexLast, false},
	{"crane", craneTarball, false},
}

// other writes the image in a form and returns the path of the file.
func (s *shelf) other(f form, name string) string {
	s.T.Helper()
	path := filepath.Join(s.T.TempDir(), "other.tar")
	out, err := os.Create(path)
	must(s.T, err)
	defer out.Close()
	w := &tarWriter{t: s.T, tw: tar.NewWriter(out)}
	f.write(s, w, name)
	must(s.T, w.tw.Close())
	return path
}

// tarWriter writes entries and ends the test on an error.
type tarWriter struct {
	t  testing.TB
	tw *tar.Writer
}

func (w *tarWriter) put(h tar.Header, raw []byte) {
	w.t.Helper()
	h.Size = int64(len(raw))
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	must(w.t, w.tw.WriteHeader(&h))
	_, err := w.tw.Write(raw)
	must(w.t, err)
}

func (w *tarWriter) file(name string, raw []byte) {
	w.t.Helper()
	w.put(tar.Header{Name: name, Typeflag: tar.TypeReg}, raw)
}

func (w *tarWriter) dir(name string) {
	w.t.Helper()
	w.put(tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: 0o755}, nil)
}

func (w *tarWriter) json(name string, v any) []byte {
	w.t.Helper()
	raw, err := json.Marshal(v)
	must(w.t, err)
	w.file(name, raw)
	return raw
}

// blob returns the content of a blob of an image.
func (s *shelf) blob(name string, d digest.Digest) []byte {
	s.T.Helper()
	r, err := s.Registry.Blob(s.Added[name].Repo, d)
	must(s.T, err)
	raw, err := io.ReadAll(r)
	must(s.T, err)
	return raw
}

// unpackedLayers returns the tars of the layers.
func (s *shelf) unpackedLayers(name string) [][]byte {
	s.T.Helper()
	var tars [][]byte
	for _, l := range s.manifest(name).Layers {
		r, err := compression.DecompressStream(bytes.NewReader(s.blob(name, l.Digest)))
		must(s.T, err)
		raw, err := io.ReadAll(r)
		must(s.T, err)
		must(s.T, r.Close())
		tars = append(tars, raw)
	}
	return tars
}

// dockerSave24 writes one directory per layer, named by an ID of docker's, a repeated layer
// as a link, and the metadata at the end.
func dockerSave24(s *shelf, w *tarWriter, name string) {
	config := s.blob(name, s.manifest(name).Config.Digest)
	var layers []string
	seen := map[digest.Digest]string{}
	for i, raw := range s.unpackedLayers(name) {
		id := dg(name + strings.Repeat("x", i)).Encoded()
		w.dir(id + "/")
		w.file(id+"/VERSION", []byte("1.0"))
		w.json(id+"/json", map[string]string{"id": id})
		layers = append(layers, id+"/layer.tar")
		if first, ok := seen[digest.FromBytes(raw)]; ok {
			w.put(tar.Header{Name: id + "/layer.tar", Typeflag: tar.TypeSymlink, Linkname: "../" + first}, nil)
			continue
		}
		seen[digest.FromBytes(raw)] = id + "/layer.tar"
		w.file(id+"/layer.tar", raw)
	}
	id := s.manifest(name).Config.Digest.Encoded()
	w.file(id+".json", config)
	w.json("manifest.json", []any{map[string]any{"Config": id + ".json", "RepoTags": []string{name}, "Layers": layers}})
	w.json("repositories", map[string]any{})
}

// dockerSave25 writes an OCI layout of plain layers, with docker's manifest.json.
func dockerSave25(s *shelf, w *tarWriter, name string) {
	config := s.blob(name, s.manifest(name).Config.Digest)
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromBytes(config), Size: int64(len(config))},
	}
	w.dir("blobs/")
	w.dir("blobs/sha256/")
	blob := func(raw []byte) { w.file("blobs/sha256/"+digest.FromBytes(raw).Encoded(), raw) }
	blob(config)
	var names []string
	seen := map[digest.Digest]bool{}
	for _, raw := range s.unpackedLayers(name) {
		d := digest.FromBytes(raw)
		m.Layers = append(m.Layers, ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(raw))})
		names = append(names, "blobs/sha256/"+d.Encoded())
		if !seen[d] {
			blob(raw)
		}
		seen[d] = true
	}
	manifest, err := json.Marshal(m)
	must(s.T, err)
	blob(manifest)
	w.json("index.json", indexOf(name, ocispec.Descriptor{MediaType: m.MediaType, Digest: digest.FromBytes(manifest), Size: int64(len(manifest))}))
	w.json("manifest.json", []any{map[string]any{"Config": "blobs/sha256/" + m.Config.Digest.Encoded(), "RepoTags": []string{name}, "Layers": names}})
	w.json("oci-layout", ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	w.json("repositories", map[string]any{})
}

// indexOf returns an index.json with one name.
func indexOf(name string, target ocispec.Descriptor) ocispec.Index {
	target.Annotations = map[string]string{"io.containerd.image.name": name, ocispec.AnnotationRefName: name[strings.LastIndex(name, ":")+1:]}
	return ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{target}}
}

// indexLast writes a layout as skopeo and ctr do, with the original blobs.
func indexLast(s *shelf, w *tarWriter, name string) {
	m := s.manifest(name)
	seen := map[digest.Digest]bool{}
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if !seen[d.Digest] {
			w.file("blobs/sha256/"+d.Digest.Encoded(), s.blob(name, d.Digest))
		}
		seen[d.Digest] = true
	}
	raw, err := s.Registry.Manifest(s.Added[name].Repo, m.Descriptor.Digest.String())
	must(s.T, err)
	w.file("blobs/sha256/"+m.Descriptor.Digest.Encoded(), raw)
	w.json("oci-layout", ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	w.json("index.json", indexOf(name, m.Descriptor))
}

// craneTarball writes files named by digest, without directories.
func craneTarball(s *shelf, w *tarWriter, name string) {
	m := s.manifest(name)
	w.file(m.Config.Digest.String(), s.blob(name, m.Config.Digest))
	var layers []string
	seen := map[string]bool{}
	for _, l := range m.Layers {
		layers = append(layers, l.Digest.Encoded()+".tar.gz")
		if file := layers[len(layers)-1]; !seen[file] {
			w.file(file, s.blob(name, l.Digest))
			seen[file] = true
		}
	}
	w.json("manifest.json", []any{map[string]any{"Config": m.Config.Digest.String(), "RepoTags": []string{name}, "Layers": layers}})
}

// loadAny loads what a reader returns, a bundle or the tarball of another program.
func loadAny(ctx context.Context, t testing.TB, n *Node, r io.Reader, o LoadOptions) (*Report, error) {
	t.Helper()
	s, err := archive.OpenStream(ctx, struct{ io.Reader }{r})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return n.LoadStream(ctx, s, o)
}

// openOther opens a plain file of another program.
func openOther(t testing.TB, path string) *archive.Reader {
	t.Helper()
	r, err := archive.Open(t.Context(), path, &archive.OpenOptions{Docker: true})
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func newTar(w io.Writer) *tar.Writer { return tar.NewWriter(w) }

func fileHeader(name string, size int64) *tar.Header {
	return &tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size, Mode: 0o644}
}
