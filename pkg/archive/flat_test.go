package archive

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// flatKinds are stores whose flat bundles hold indexes that index.json does not list.
func flatKinds() map[string]*store {
	base := func() (*store, ocispec.Descriptor, ocispec.Descriptor, ocispec.Descriptor) {
		s := newStore()
		one := s.Manifest(amd64, s.Layer(1, 3000), s.Layer(2, 512))
		two := s.Manifest(arm64, s.Layer(3, 700), s.Layer(1, 3000))
		return s, s.Index(one, two), one, two
	}
	out := map[string]*store{}

	s, idx, one, _ := base()
	s.name("registry.test/app:v1", idx, one)
	out["one platform"] = s

	s, idx, one, two := base()
	s.name("registry.test/app:v1", idx, one, two)
	s.name("registry.test/single:v1", s.Manifest(amd64, s.Layer(4, 90)))
	out["several platforms"] = s

	s, idx, one, two = base()
	s.name("registry.test/app:v1", idx, one, two)
	s.images[0].Referrers = []ocispec.Descriptor{
		under(s.Artifact("application/vnd.test.sig", "", s.Layer(20, 50)), "registry.test/app", idx.Digest, ".sig"),
		under(s.Artifact("application/vnd.test.sbom", "", s.Layer(21, 60)), "registry.test/app", one.Digest, ".sbom"),
		s.Artifact("application/vnd.test.says", two.Digest, s.Layer(22, 70)),
	}
	more := s.Manifest(amd64, s.Layer(5, 80))
	s.name("registry.test/more:v1", s.Index(more), more) // its index follows the referrers
	out["referrers"] = s

	// The second index stands behind everything that index.json lists.
	s, idx, one, two = base()
	s.name("registry.test/app:v1", idx, one, two)
	s.name("registry.test/app:v2", s.Index(two), two)
	out["indexes that share a manifest"] = s

	s, idx, one, _ = base()
	s.name("registry.test/app:v1", s.Index(idx), idx, one)
	out["an index in an index"] = s
	return out
}

// TestFlat opens flat bundles in every way: all agree, and as a stream each is native.
func TestFlat(t *testing.T) {
	ownTemp(t)
	for name, s := range flatKinds() {
		gone := s.Layer(1, 3000).Digest
		for kind, opts := range map[string]PlanOptions{
			"whole":        {Flat: true},
			"differential": {Flat: true, Omit: func(d digest.Digest) bool { return d == gone }},
			"no layers":    {Flat: true, Omit: func(digest.Digest) bool { return true }},
		} {
			whole := open(t, s.bundle(t, opts))
			if !holdsUnlisted(whole) {
				t.Fatalf("%s, %s: every blob is listed", name, kind)
			}
			for _, c := range []Compression{Plain, Gzip, Zstd} {
				t.Run(name+", "+kind+", "+c.String(), func(t *testing.T) { testFlat(t, whole, s.bundleAs(t, c, opts), c) })
			}
		}
	}
}

// holdsUnlisted reports whether the bundle has a blob that nothing in it refers to.
func holdsUnlisted(r *Reader) bool {
	for _, b := range r.Blobs() {
		if b.MediaType == "" {
			return true
		}
	}
	return false
}

func testFlat(t *testing.T, whole *Reader, path string, c Compression) {
	var r *Reader
	var err error
	for how, o := range map[string]*OpenOptions{"with layers": nil, "metadata": {Metadata: true}} {
		r, err = Open(t.Context(), path, o)
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		same(t, whole, r)
		if !r.Native() || r.MetadataOnly() != (o != nil && c != Plain) {
			t.Errorf("%s: native %t, metadata only %t", how, r.Native(), r.MetadataOnly())
		}
		if o == nil {
			if err := r.Verify(t.Context(), 1, nil); err != nil {
				t.Error(err)
			}
		}
		r.Close()
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenStream(t.Context(), bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	if r, err = s.Reader(); err != nil || !s.Native() || !r.Native() {
		t.Fatalf("native %t, %v", s.Native(), err)
	}
	same(t, whole, r)
	s.Close()
	if _, _, err := readStream(t.Context(), bytes.NewReader(raw), false); err != nil {
		t.Errorf("stream: %v", err)
	}
}

// TestFlatCut: a flat bundle is native wherever it was cut.
func TestFlatCut(t *testing.T) {
	ownTemp(t)
	s := flatKinds()["referrers"]
	for _, c := range []Compression{Plain, Gzip, Zstd} {
		raw, err := os.ReadFile(s.bundleAs(t, c, PlanOptions{Flat: true}))
		if err != nil {
			t.Fatal(err)
		}
		step := 61
		if c == Plain {
			step = block / 2 // every end of an entry, too
		}
		for at := 0; at < len(raw); at += step {
			if err := readCut(t, raw[:at]); !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s cut at %d of %d: %v", c, at, len(raw), err)
			}
		}
	}
}

// readCut reads what must not be taken for a stream of another program.
func readCut(t *testing.T, raw []byte) error {
	t.Helper()
	s, err := OpenStream(t.Context(), bytes.NewReader(raw))
	if err != nil {
		return err
	}
	defer s.Close()
	if !s.Native() {
		t.Fatalf("%d bytes are another program's", len(raw))
	}
	for err == nil {
		_, err = s.Next()
	}
	return err
}

// TestFlatDamage: an index that is not listed is checked as others are, and nothing but an
// index is taken for one.
func TestFlatDamage(t *testing.T) {
	ownTemp(t)
	s := flatKinds()["several platforms"]
	raw := s.bundle(t, PlanOptions{Flat: true})
	blobs := open(t, raw).Blobs()
	if blobs[0].MediaType != "" {
		t.Fatalf("%s stands first, and no index", blobs[0].MediaType)
	}
	entry := func(i int) []byte { // with its padding
		return raw[blobs[i].Offset-block : blobs[i].Offset+padded(blobs[i].Size)]
	}
	last := len(blobs) - 1
	start := blobs[0].Offset - block
	flipped := bytes.Clone(raw)
	flipped[blobs[0].Offset+5] ^= 1
	large, size := wideFlat(t)
	for _, tc := range []struct {
		name string
		raw  []byte
		lim  func(*limits)
		want error
	}{
		{"as it is", raw, func(*limits) {}, nil},
		{"altered", flipped, func(*limits) {}, ErrDamaged},
		{"lost", bytes.Join([][]byte{raw[:start], raw[start+int64(len(entry(0))):]}, nil), func(*limits) {}, ErrNoMetadata},
		{"behind a layer", bytes.Join([][]byte{raw[:start], entry(last), raw[start : blobs[last].Offset-block], make([]byte, endBlocks)}, nil), func(*limits) {}, ErrNoMetadata},
		{"a layer in its place", bytes.Join([][]byte{raw[:start], entry(last), raw[start+int64(len(entry(0))):]}, nil), func(*limits) {}, ErrNoMetadata},
		{"as large as may be", large, func(l *limits) { l.metadata = size }, nil},
		{"too large", large, func(l *limits) { l.metadata = size - 1 }, ErrNoMetadata},
		{"names as many as may be", raw, func(l *limits) { l.link = 6 }, nil}, // manifests and configs
		{"names too many", raw, func(l *limits) { l.link = 5 }, ErrNoMetadata},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lim := defaultLimits
			tc.lim(&lim)
			u, err := unpackStream(t.Context(), bytes.NewReader(tc.raw), lim)
			if err != nil {
				t.Fatal(err)
			}
			s, _, err := openNative(u)
			if err == nil {
				s.Close()
			}
			if !errors.Is(err, tc.want) || (tc.want == nil && err != nil) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

// wideFlat makes a flat bundle whose index is the largest of its manifests, and returns the
// size of that.
func wideFlat(t *testing.T) ([]byte, int64) {
	t.Helper()
	s := newStore()
	one := s.Manifest(amd64, s.Layer(1, 100))
	children := []ocispec.Descriptor{one}
	for range 20 {
		gone := one
		gone.Digest = digest.FromString("not chosen " + string(children[len(children)-1].Digest))
		children = append(children, gone)
	}
	idx := s.Index(children...)
	s.name("registry.test/wide:v1", idx, one)
	return s.bundle(t, PlanOptions{Flat: true}), idx.Size
}
