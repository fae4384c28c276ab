//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"errors"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
)

// mixed is a tarball with a good image and others that containerd cannot use.
type mixed struct {
	t     *testing.T
	blobs map[digest.Digest][]byte
	named []ocispec.Descriptor
}

func (m *mixed) blob(mediaType string, raw []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	m.blobs[d.Digest] = raw
	return d
}

// add adds an image with one file. odd changes its config and its manifest.
func (m *mixed) add(name string, odd func(*ocispec.Image, *ocispec.Manifest)) ocispec.Descriptor {
	layer := tarOf(m.t, tar.Header{Name: strings.ReplaceAll(name, "/", "-"), Typeflag: tar.TypeReg, Size: 9})
	img := ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(layer)}},
	}
	x := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Layers: []ocispec.Descriptor{m.blob(ocispec.MediaTypeImageLayer, layer)}}
	x.SchemaVersion = 2
	if odd != nil {
		odd(&img, &x)
	}
	if x.Config.Digest == "" {
		x.Config = m.blob(ocispec.MediaTypeImageConfig, marshal(m.t, img))
	}
	return m.name(name, m.blob(ocispec.MediaTypeImageManifest, marshal(m.t, x)))
}

func (m *mixed) name(name string, d ocispec.Descriptor) ocispec.Descriptor {
	if name != "" {
		d.Annotations = map[string]string{"io.containerd.image.name": name}
		m.named = append(m.named, d)
		d.Annotations = nil
	}
	return d
}

// write writes the tarball and returns its path. It has an image of its own as well,
// docker.io/acme/hostile:v1.
func (m *mixed) write() string {
	return handmade{
		layers: [][]byte{tarOf(m.t, tar.Header{Name: "good", Typeflag: tar.TypeReg, Size: 9})},
		index:  func(x *ocispec.Index) { x.Manifests = append(x.Manifests, m.named...) },
		more: func(w *tarWriter) {
			for _, d := range slices.Sorted(maps.Keys(m.blobs)) {
				w.file("blobs/sha256/"+d.Encoded(), m.blobs[d])
			}
		},
	}.write(m.t)
}

// Images that containerd cannot use are failures of their own: the good one is loaded and
// ready, and each other has its reason.
func TestUnusableImages(t *testing.T) {
	t.Parallel()
	const repo = "docker.io/acme/"
	m := &mixed{t: t, blobs: map[digest.Digest][]byte{}}
	m.add(repo+"encrypted:1", func(_ *ocispec.Image, x *ocispec.Manifest) { x.Layers[0].MediaType += "+gzip+encrypted" })
	m.add(repo+"fewer:1", func(i *ocispec.Image, _ *ocispec.Manifest) { i.RootFS.DiffIDs = nil })
	m.add(repo+"more:1", func(i *ocispec.Image, _ *ocispec.Manifest) { i.RootFS.DiffIDs = append(i.RootFS.DiffIDs, dg("x")) })
	m.add(repo+"path:1", func(i *ocispec.Image, _ *ocispec.Manifest) { i.RootFS.DiffIDs[0] = "sha256:../../x" })
	m.add(repo+"text:1", func(_ *ocispec.Image, x *ocispec.Manifest) {
		x.Config = m.blob(ocispec.MediaTypeImageConfig, []byte("text"))
	})
	other := func(i *ocispec.Image, _ *ocispec.Manifest) { i.Architecture = "s390x" }
	m.add(repo+"other:1", other)
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{m.add("", other), m.add("", nil)}}
	index.SchemaVersion = 2
	m.name(repo+"index:1", m.blob(ocispec.MediaTypeImageIndex, marshal(t, index)))
	path := m.write()

	want := map[string]string{
		"encrypted:1": "it is encrypted", "fewer:1": "0 diffIDs for 1 layers", "more:1": "2 diffIDs for 1 layers",
		"path:1": "diffID 1", "text:1": "cannot decode",
		"other:1": "no manifest for linux/" + runtime.GOARCH, "index:1": "2 entries without a platform",
	}
	machine, n := connect(t)
	for _, streamed := range []bool{false, true} {
		load := func() (*Report, error) {
			if streamed {
				return loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, path)), LoadOptions{})
			}
			r, err := openFile(path)
			must(t, err)
			defer r.Close()
			return n.Load(t.Context(), r, LoadOptions{})
		}
		r, err := load()
		if r == nil || !errors.Is(err, ErrIncomplete) {
			t.Fatalf("streamed %v: report %v, error %v, want both", streamed, r, err)
		}
		got := map[string]string{}
		for _, i := range r.Images {
			short := strings.TrimPrefix(i.Name, repo)
			if i.Status == NotUsable {
				got[short] = i.Reason
				if strings.Contains(i.Reason, want[short]) && want[short] != "" {
					got[short] = want[short]
				}
				if !strings.Contains(err.Error(), i.Name+": ") || !strings.Contains(err.Error(), i.Reason) {
					t.Errorf("error %v lacks %s", err, i.Name)
				}
			} else if i.Name != repo+"hostile:v1" || i.CRI != Ready {
				t.Errorf("streamed %v: %+v", streamed, i)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("streamed %v: reasons (-want +got):\n%s", streamed, d)
		}
		out, err := machine.Ctr("images", "ls", "-q")
		must(t, err)
		if strings.Contains(out, "encrypted") || !strings.Contains(out, "hostile:v1") {
			t.Errorf("streamed %v: images\n%s", streamed, out)
		}
		n.wipe(t)
	}
}

// A layer that is no file system is stored and kept, and the image is used without it.
func TestOtherLayers(t *testing.T) {
	t.Parallel()
	m := &mixed{t: t, blobs: map[digest.Digest][]byte{}}
	wasm := m.blob("application/wasm", []byte("\x00asm"))
	m.add("docker.io/acme/wasm:1", func(_ *ocispec.Image, x *ocispec.Manifest) {
		x.Layers = []ocispec.Descriptor{wasm, x.Layers[0], m.blob("application/vnd.in-toto+json", []byte("{}"))}
	})
	path := m.write()
	_, n := connect(t)
	for _, discard := range []bool{false, true} {
		r, err := openFile(path)
		must(t, err)
		defer r.Close()
		report, err := n.Load(t.Context(), r, LoadOptions{DiscardLayers: discard})
		must(t, err)
		if i := report.Images[1]; i.Name != "docker.io/acme/wasm:1" || i.CRI != Ready || report.Layers != 2 {
			t.Errorf("discard %v: %+v", discard, report)
		}
		n.collect(t)
		if _, err := n.content.Info(n.namespaced(t), wasm.Digest); err != nil {
			t.Errorf("discard %v: %v", discard, err)
		}
		check, err := n.Check(t.Context(), r)
		if err != nil || check.Images[1].Status != Present {
			t.Errorf("discard %v: check %+v, %v", discard, check, err)
		}
		n.wipe(t)
	}
}

// What was skipped when the bundle was made counts as missing, unless no pod needs it.
func TestSkippedImages(t *testing.T) {
	for _, tt := range []struct {
		skipped []archive.Skipped
		want    string
	}{
		{nil, ""},
		{[]archive.Skipped{{Name: "a", Class: archive.ClassIndirect}}, ""},
		{[]archive.Skipped{{Name: "a", Platforms: "linux/s390x"}}, ""},
		{[]archive.Skipped{{Name: "a", Reason: "no manifest"}, {Name: "b", Class: archive.ClassIndirect}}, "1 of 2 images ready: a: not in the bundle: no manifest"},
	} {
		r := &Report{Images: []ImageReport{{Name: "x", Status: Loaded, CRI: Ready}}}
		r.addLeft(skipping{skipped: tt.skipped})
		err := r.outcome()
		if (err == nil) != (tt.want == "") || err != nil && (err.Error() != tt.want || !errors.Is(err, ErrIncomplete)) || r.Complete != (err == nil) {
			t.Errorf("%v: %v, complete %v, want %q", tt.skipped, err, r.Complete, tt.want)
		}
	}
}

type skipping struct {
	memory
	skipped []archive.Skipped
}

func (s skipping) Skipped() []archive.Skipped { return s.skipped }
