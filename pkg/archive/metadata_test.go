package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// everyKind is small and more: referrers, a layer with a URL, one blob in two roles, a config
// that is a layer elsewhere.
func everyKind() *store {
	s := small()
	m := s.Manifest(amd64, s.Layer(8, 10))
	sig := s.Artifact("application/vnd.test.signature", m.Digest, s.Layer(9, 33))
	s.images = append(s.images, Image{Name: "registry.test/signed:1", Target: plain(m), Referrers: []ocispec.Descriptor{sig}})
	config := s.Config(m)
	again := ocispec.Descriptor{MediaType: "application/vnd.test.content", Digest: config, Size: int64(len(s.Blobs[config]))}
	doc := ocispec.Descriptor{MediaType: "application/vnd.test.content", Digest: m.Digest, Size: m.Size}
	s.name("a.test/roles:1", s.Artifact("application/vnd.test.config", "", again, doc, s.Layer(10, 44)))
	return s
}

// TestOpenMetadata: a bundle without its layers says the same as one with them.
func TestOpenMetadata(t *testing.T) {
	ownTemp(t)
	s, old := everyKind(), small()
	omit := func(d digest.Digest) bool { return old.Blobs[d] != nil }
	for _, tc := range []struct {
		name string
		s    *store
		opts PlanOptions
	}{
		{"whole", s, PlanOptions{}},
		{"flat", mixed(), PlanOptions{Flat: true}},
		{"differential", s, PlanOptions{Omit: omit, Base: digest.FromString("base"), Skipped: []Skipped{{Name: "a.test/gone:1", Reason: "not found"}}}},
		{"without any layer", s, PlanOptions{Omit: func(digest.Digest) bool { return true }}},
	} {
		for _, c := range []Compression{Gzip, Zstd, Plain} {
			t.Run(tc.name+" "+c.String(), func(t *testing.T) {
				whole := open(t, tc.s.bundle(t, tc.opts))
				path := tc.s.bundleAs(t, c, tc.opts)
				r, err := openMetadata(path)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				same(t, whole, r)
				if fmt.Sprint(r.Omitted(), r.Skipped(), r.Base()) != fmt.Sprint(whole.Omitted(), whole.Skipped(), whole.Base()) {
					t.Error("other annotations")
				}
				if r.Compression() != c || r.MetadataOnly() != (c != Plain) {
					t.Errorf("%s, metadata only %t", r.Compression(), r.MetadataOnly())
				}
				if c != Plain {
					metadataOnly(t, whole, r)
				}
			})
		}
	}
}

// metadataOnly checks which blobs can be read.
func metadataOnly(t *testing.T, whole, r *Reader) {
	t.Helper()
	for _, b := range r.Blobs() {
		_, err := r.Metadata(b.Digest)
		_, openErr := r.Open(b.Digest)
		if b.Offset < r.metadata {
			if err != nil || openErr != nil {
				t.Errorf("%s %s: %v, %v", b.MediaType, b.Digest, err, openErr)
			}
		} else if !errors.Is(err, ErrMetadataOnly) || !errors.Is(openErr, ErrMetadataOnly) || b.Manifest {
			t.Errorf("%s %s: %v, %v", b.MediaType, b.Digest, err, openErr)
		}
	}
	if err := r.Verify(t.Context(), 1, nil); !errors.Is(err, ErrMetadataOnly) {
		t.Errorf("verify: %v", err)
	}
}

// TestOpenMetadataIsCheap: of a file with a large layer little is read and no byte of the
// layer is stored.
func TestOpenMetadataIsCheap(t *testing.T) {
	ownTemp(t)
	s, _ := big(20 << 20)
	for _, c := range []Compression{Gzip, Zstd} {
		raw, err := os.ReadFile(s.bundleAs(t, c, PlanOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		src := &countingReader{r: bytes.NewReader(raw)}
		p := &compressedFile{src: src, size: int64(len(raw)), kind: c, lim: defaultLimits, stop: func() error { return nil }}
		r, err := p.open(&OpenOptions{Metadata: true})
		if err != nil {
			t.Fatal(err)
		}
		info, err := r.closer.(*tempFile).f.Stat()
		if err != nil || info.Size() > 16<<10 || src.n > 1<<20 {
			t.Errorf("%s: %d bytes read of %d, %d unpacked: %v", c, src.n, len(raw), info.Size(), err)
		}
		r.Close()
	}
}

// TestMetadataMismatch: manifests and layers that do not match.
func TestMetadataMismatch(t *testing.T) {
	ownTemp(t)
	s := small()
	raw := s.bundle(t, PlanOptions{})
	r := open(t, raw)
	blobs := r.Blobs()
	first := 0
	for r.blobs[first].Manifest || strings.Contains(r.blobs[first].MediaType, "config") {
		first++
	}
	cut := func(at int64) []byte { return append(bytes.Clone(raw[:at]), make([]byte, endBlocks)...) }
	swapped := bytes.Clone(raw)
	copy(swapped[blobs[first].Offset-block:], raw[blobs[first+1].Offset-block:blobs[first+1].Offset])
	flipped := bytes.Clone(raw)
	flipped[blobs[0].Offset+10] ^= 1
	for _, tc := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"no layer follows", cut(blobs[first].Offset - block), "before the layers"},
		{"some layers follow", cut(blobs[first+1].Offset - block), "entries take"},
		{"another layer first", swapped, "in the order"},
		{"a document is altered", flipped, "digest of"},
		{"a document is lost", append(bytes.Clone(raw[:blobs[1].Offset-block]), raw[blobs[2].Offset-block:]...), ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// zstd -c of a pipe states no size; with one given, all of them show.
			path := filepath.Join(t.TempDir(), "x")
			f, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			w, err := Zstd.NewWriter(f, int64(len(tc.raw)))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(tc.raw); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(w.Close(), f.Close()); err != nil {
				t.Fatal(err)
			}
			h, err := openMetadata(path)
			if err == nil {
				h.Close()
			}
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNoMetadata) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want something with %q", err, tc.want)
			}
		})
	}
}

// TestMetadataLimits holds each limit against a small bundle.
func TestMetadataLimits(t *testing.T) {
	ownTemp(t)
	raw, err := os.ReadFile(small().bundleAs(t, Zstd, PlanOptions{}))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		lower func(*limits)
		want  error
	}{
		{"none", func(*limits) {}, nil},
		{"documents", func(l *limits) { l.metadata = 500 }, ErrDamaged},
		{"entries before the layers", func(l *limits) { l.entries = 10 }, ErrDamaged},
		{"entries", func(l *limits) { l.entries = 18 }, ErrDamaged},
		{"blobs", func(l *limits) { l.blob = 1000 }, ErrDamaged},
		{"what indexes name", func(l *limits) { l.link = 5 }, ErrNoMetadata},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &compressedFile{src: bytes.NewReader(raw), size: int64(len(raw)), kind: Zstd, lim: defaultLimits, stop: func() error { return nil }}
			tc.lower(&p.lim)
			r, err := p.readMetadata()
			if err == nil {
				r.Close()
			}
			if !errors.Is(err, tc.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// FuzzMetadata: without its layers a bundle never says more, or less, than with them: where
// both can be opened they agree, and an intact bundle is not damaged without them.
func FuzzMetadata(f *testing.F) {
	s := newStore()
	s.name("a.test/a:1", s.Index(s.Manifest(amd64, s.Layer(1, 30))), s.Manifest(amd64, s.Layer(1, 30)))
	f.Add(s.bundle(f, PlanOptions{}))
	f.Add(s.bundle(f, PlanOptions{Omit: func(digest.Digest) bool { return true }}))
	f.Add(everyKind().bundle(f, PlanOptions{}))
	f.Add(flatKinds()["referrers"].bundle(f, PlanOptions{Flat: true}))
	f.Fuzz(func(t *testing.T, raw []byte) {
		whole, wholeErr := NewReader(bytes.NewReader(raw), int64(len(raw)))
		p := &compressedFile{lim: defaultLimits, stop: func() error { return nil }}
		without, err := p.metadataOf(&unpacked{p: p, dec: io.NopCloser(bytes.NewReader(raw))})
		switch {
		case err == nil && wholeErr == nil:
			whole.size = without.size // zeros may follow the end
			same(t, whole, without)
		case err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNoMetadata):
			t.Fatalf("not ErrDamaged: %v", err)
		case errors.Is(err, ErrDamaged) && wholeErr == nil && whole.Verify(t.Context(), 1, nil) == nil:
			t.Fatalf("intact with its layers, without them: %v", err)
		}
		if err == nil {
			without.Close()
		}
	})
}
