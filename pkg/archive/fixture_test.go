package archive

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive/internal/archivetest"
)

// store is a store of images and the images that a test plans.
type store struct {
	*archivetest.Store
	images []Image
}

var amd64, arm64 = archivetest.AMD64, archivetest.ARM64

var version2 = specs.Versioned{SchemaVersion: 2}

func newStore() *store { return &store{Store: archivetest.New(ErrNotFound)} }

// from takes the images of a store.
func from(a *archivetest.Store) *store {
	s := &store{Store: a}
	for _, i := range a.Images {
		s.name(i.Name, i.Target, i.Present...)
	}
	return s
}

func small() *store { return from(archivetest.Small(ErrNotFound)) }

func mixed() *store { return from(archivetest.Mixed(ErrNotFound)) }

func big(size int) (*store, digest.Digest) {
	s, d := archivetest.Big(ErrNotFound, size)
	return from(s), d
}

// name adds an image.
func (s *store) name(name string, target ocispec.Descriptor, present ...ocispec.Descriptor) {
	s.images = append(s.images, Image{Name: name, Target: plain(target), Present: present})
}

// plan plans the store's images.
func (s *store) plan(t testing.TB, opts PlanOptions) *Plan {
	t.Helper()
	p, err := NewPlan(s.images, s, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// bundle returns the bytes of the bundle.
func (s *store) bundle(t testing.TB, opts PlanOptions) []byte {
	t.Helper()
	p := s.plan(t, opts)
	raw, err := p.Preamble()
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i <= len(p.Blobs()); i++ {
		gap, off, err := p.Gap(i)
		if err != nil || off != int64(len(raw)) {
			t.Fatalf("gap %d at byte %d of %d: %v", i, off, len(raw), err)
		}
		raw = append(raw, gap...)
		if i < len(p.Blobs()) {
			raw = append(raw, s.Blobs[p.Blobs()[i].Digest]...)
		}
	}
	return raw
}

// bundleAs writes a bundle, compressed unless c is Plain, and returns its path.
func (s *store) bundleAs(t testing.TB, c Compression, opts PlanOptions) string {
	t.Helper()
	raw := s.bundle(t, opts)
	if c == Plain {
		return writeTemp(t, raw)
	}
	var b bytes.Buffer
	w, err := c.NewWriter(&b, int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return writeTemp(t, b.Bytes())
}

// open reads a bundle that must be intact.
func open(t testing.TB, raw []byte) *Reader {
	t.Helper()
	r, err := NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// openMetadata opens a bundle without its layers and does not fall back to opening it
// with them.
func openMetadata(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	c, err := sniff(f)
	if err != nil {
		return nil, err
	}
	if c == Plain {
		return Open(context.Background(), path, nil)
	}
	p := &compressedFile{path: path, src: f, size: info.Size(), kind: c, lim: defaultLimits, stop: func() error { return nil }}
	r, err := p.readMetadata()
	if err != nil {
		return nil, p.named(err)
	}
	return r, nil
}

// openDocker opens a tarball of docker only.
func openDocker(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	r, err := readDocker(f, info.Size(), path, defaultLimits)
	if err != nil {
		f.Close()
		return nil, named(path, "open bundle", err)
	}
	r.closer = f
	return r, nil
}
