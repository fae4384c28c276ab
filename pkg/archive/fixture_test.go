package archive

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// store is the registry of these tests: documents and blobs by digest, all made by hand.
type store struct {
	blobs  map[digest.Digest][]byte
	images []Image
	asked  int // documents given out
}

func newStore() *store { return &store{blobs: map[digest.Digest][]byte{}} }

func (s *store) Document(d digest.Digest) ([]byte, error) {
	s.asked++
	if raw, ok := s.blobs[d]; ok {
		return raw, nil
	}
	return nil, fmt.Errorf("document %s: %w", d, ErrNotFound)
}

// put keeps bytes and gives their descriptor.
func (s *store) put(mediaType string, raw []byte) ocispec.Descriptor {
	d := digest.FromBytes(raw)
	s.blobs[d] = raw
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(raw))}
}

func (s *store) putJSON(mediaType string, v any) ocispec.Descriptor {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return s.put(mediaType, raw)
}

// layer gives size bytes that depend on seed alone and do not compress.
func (s *store) layer(seed uint64, size int) ocispec.Descriptor {
	return s.put(ocispec.MediaTypeImageLayerGzip, noise(seed, size))
}

func noise(seed uint64, size int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, size)
	rand.NewChaCha8(key).Read(b)
	return b
}

// manifest makes an image of layers for a platform.
func (s *store) manifest(p ocispec.Platform, layers ...ocispec.Descriptor) ocispec.Descriptor {
	img := ocispec.Image{Platform: p, RootFS: ocispec.RootFS{Type: "layers"}}
	for _, l := range layers {
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, digest.FromString("unpacked "+l.Digest.String()))
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    s.putJSON(ocispec.MediaTypeImageConfig, img),
		Layers:    layers,
	}
	desc := s.putJSON(m.MediaType, m)
	desc.Platform = &p
	return desc
}

// index makes an index of manifests.
func (s *store) index(children ...ocispec.Descriptor) ocispec.Descriptor {
	return s.putJSON(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: children,
	})
}

// name adds an image.
func (s *store) name(name string, target ocispec.Descriptor, present ...ocispec.Descriptor) {
	s.images = append(s.images, Image{Name: name, Target: plain(target), Present: present})
}

var (
	amd64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}
	arm64 = ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
)

// small is the bundle most tests use: a multi-platform image under tag and digest with
// one of three platforms chosen, one of a single manifest that shares a layer, one with
// both platforms, and a chart, which is no image.
func small() *store {
	s := newStore()
	base := s.layer(1, 3000)
	app := s.manifest(amd64, base, s.layer(2, 512))
	appArm := s.manifest(arm64, s.layer(3, 700), s.layer(4, 1))
	gone := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("not chosen"), Size: 512,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"},
	}
	idx := s.index(app, appArm, gone)
	s.name("registry.test/app:v1", idx, app)
	s.name("registry.test/app@"+idx.Digest.String(), idx, app)
	s.name("docker.io/library/single:latest", s.manifest(amd64, base, s.layer(5, 1025)))
	both := s.index(s.manifest(arm64, s.layer(6, 100)), app)
	s.name("registry.test/both:v2", both, app, s.manifest(arm64, s.layer(6, 100)))
	s.name("registry.test/chart:1", s.artifact("application/vnd.cncf.helm.config.v1+json", "", s.layer(7, 99)))
	return s
}

// artifact makes a manifest that is no image, about subject if that is not "".
func (s *store) artifact(configType string, subject digest.Digest, layers ...ocispec.Descriptor) ocispec.Descriptor {
	for i := range layers {
		layers[i].MediaType = "application/vnd.test.content"
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    s.put(configType, []byte("{}")),
		Layers:    layers,
	}
	if subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: int64(len(s.blobs[subject]))}
	}
	return s.putJSON(m.MediaType, m)
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

// begin opens a draft, fills in the documents and begins.
func (s *store) begin(t testing.TB, path string, opts PlanOptions) *Draft {
	t.Helper()
	d, err := OpenDraft(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	p := s.plan(t, opts)
	for _, b := range p.Blobs() {
		if b.Document {
			if _, err := d.AddDocument(s.blobs[b.Digest]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if p, err = NewPlan(s.images, d, opts); err != nil {
		t.Fatal(err)
	}
	if err := d.Begin(context.Background(), p, nil); err != nil {
		t.Fatal(err)
	}
	return d
}

// fill writes what is missing with so many goroutines, in chunks of that many bytes.
func (s *store) fill(d blobOpener, jobs, chunk int) error {
	work := make(chan Blob)
	errs := make([]error, jobs)
	var wg sync.WaitGroup
	for j := range jobs {
		wg.Go(func() {
			for b := range work {
				if errs[j] == nil {
					errs[j] = s.write(d, b.Digest, chunk)
				}
			}
		})
	}
	for _, b := range d.Missing() {
		work <- b
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

// blobOpener is what drafts and streams have in common.
type blobOpener interface {
	Missing() []Blob
	Blob(digest.Digest) (*BlobWriter, error)
}

// write gives one blob its bytes from its prefix on.
func (s *store) write(d blobOpener, dg digest.Digest, chunk int) error {
	w, err := d.Blob(dg)
	if err != nil {
		return err
	}
	defer w.Close()
	raw := s.blobs[dg]
	for off := int(w.Prefix()); off < len(raw); off += chunk {
		if _, err := w.WriteAt(raw[off:min(off+chunk, len(raw))], int64(off)); err != nil {
			return err
		}
	}
	return w.Commit()
}

// bundle makes the whole file and gives its bytes.
func (s *store) bundle(t testing.TB, opts PlanOptions) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.begin(t, path, opts)
	if err := s.fill(d, 1, 1000); err != nil {
		t.Fatal(err)
	}
	if err := d.Commit(); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// open reads a bundle that must be sound.
func open(t testing.TB, raw []byte) *Reader {
	t.Helper()
	r, err := NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var version2 = specs.Versioned{SchemaVersion: 2}
