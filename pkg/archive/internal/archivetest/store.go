// Package archivetest makes images for the tests of pkg/archive and pkg/archive/writer.
// It imports neither, so that tests inside of both can use it.
package archivetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Platforms of the images.
var (
	AMD64 = ocispec.Platform{OS: "linux", Architecture: "amd64"}
	ARM64 = ocispec.Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}
)

// An Image is an archive.Image for a plan.
type Image struct {
	Name    string
	Target  ocispec.Descriptor
	Present []ocispec.Descriptor
}

// A Store holds manifests and blobs by digest, as a registry does.
type Store struct {
	Blobs    map[digest.Digest][]byte
	Images   []Image
	NotFound error // in the error of Metadata
	Asked    int   // calls of Metadata
}

// New returns an empty store.
func New(notFound error) *Store {
	return &Store{Blobs: map[digest.Digest][]byte{}, NotFound: notFound}
}

// Clone returns a store whose Blobs may be changed without changing those of s.
func (s *Store) Clone() *Store {
	c := *s
	c.Blobs = maps.Clone(s.Blobs)
	return &c
}

// Metadata implements archive.MetadataReader.
func (s *Store) Metadata(d digest.Digest) ([]byte, error) {
	s.Asked++
	if raw, ok := s.Blobs[d]; ok {
		return raw, nil
	}
	return nil, fmt.Errorf("manifest %s: %w", d, s.NotFound)
}

// Put stores bytes and returns their descriptor.
func (s *Store) Put(mediaType string, raw []byte) ocispec.Descriptor {
	d := digest.FromBytes(raw)
	s.Blobs[d] = raw
	return ocispec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(raw))}
}

// PutJSON stores v as JSON.
func (s *Store) PutJSON(mediaType string, v any) ocispec.Descriptor {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return s.Put(mediaType, raw)
}

// Layer stores size bytes that depend on seed alone and do not compress.
func (s *Store) Layer(seed uint64, size int) ocispec.Descriptor {
	return s.Put(ocispec.MediaTypeImageLayerGzip, Noise(seed, size))
}

// Noise returns size bytes that depend on seed alone and do not compress.
func Noise(seed uint64, size int) []byte {
	var key [32]byte
	for i := range 8 {
		key[i] = byte(seed >> (8 * i))
	}
	b := make([]byte, size)
	rand.NewChaCha8(key).Read(b)
	return b
}

// Manifest stores an image of layers for a platform.
func (s *Store) Manifest(p ocispec.Platform, layers ...ocispec.Descriptor) ocispec.Descriptor {
	img := ocispec.Image{Platform: p, RootFS: ocispec.RootFS{Type: "layers"}}
	for _, l := range layers {
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, digest.FromString("unpacked "+l.Digest.String()))
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    s.PutJSON(ocispec.MediaTypeImageConfig, img),
		Layers:    layers,
	}
	desc := s.PutJSON(m.MediaType, m)
	desc.Platform = &p
	return desc
}

// Config returns the config of a manifest in the store.
func (s *Store) Config(desc ocispec.Descriptor) digest.Digest {
	var m ocispec.Manifest
	if err := json.Unmarshal(s.Blobs[desc.Digest], &m); err != nil {
		panic(err)
	}
	return m.Config.Digest
}

// Index stores an index of manifests.
func (s *Store) Index(children ...ocispec.Descriptor) ocispec.Descriptor {
	return s.PutJSON(ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: children,
	})
}

// Artifact stores a manifest that is not an image, about subject if that is not "".
func (s *Store) Artifact(configType string, subject digest.Digest, layers ...ocispec.Descriptor) ocispec.Descriptor {
	for i := range layers {
		layers[i].MediaType = "application/vnd.test.content"
	}
	m := ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    s.Put(configType, []byte("{}")),
		Layers:    layers,
	}
	if subject != "" {
		m.Subject = &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: subject, Size: int64(len(s.Blobs[subject]))}
	}
	return s.PutJSON(m.MediaType, m)
}

// Name adds an image.
func (s *Store) Name(name string, target ocispec.Descriptor, present ...ocispec.Descriptor) {
	s.Images = append(s.Images, Image{Name: name, Target: target, Present: present})
}

// Small returns the bundle that most tests use: a multi-platform image under tag and
// digest with one of three platforms chosen, an image of a single manifest that shares a
// layer, one with both platforms, and a chart, which is not an image.
func Small(notFound error) *Store {
	s := New(notFound)
	base := s.Layer(1, 3000)
	app := s.Manifest(AMD64, base, s.Layer(2, 512))
	appArm := s.Manifest(ARM64, s.Layer(3, 700), s.Layer(4, 1))
	absent := ocispec.Descriptor{
		MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("not chosen"), Size: 512,
		Platform: &ocispec.Platform{OS: "linux", Architecture: "s390x"},
	}
	idx := s.Index(app, appArm, absent)
	s.Name("registry.test/app:v1", idx, app)
	s.Name("registry.test/app@"+idx.Digest.String(), idx, app)
	s.Name("docker.io/library/single:latest", s.Manifest(AMD64, base, s.Layer(5, 1025)))
	both := s.Index(s.Manifest(ARM64, s.Layer(6, 100)), app)
	s.Name("registry.test/both:v2", both, app, s.Manifest(ARM64, s.Layer(6, 100)))
	s.Name("registry.test/chart:1", s.Artifact("application/vnd.cncf.helm.config.v1+json", "", s.Layer(7, 99)))
	return s
}

// Big returns an image with one layer of size bytes.
func Big(notFound error, size int) (*Store, digest.Digest) {
	s := New(notFound)
	l := s.Layer(99, size)
	s.Name("registry.test/big:1", s.Manifest(AMD64, l))
	return s, l.Digest
}

// Mixed returns an image of several blocks and compression windows, part of which
// compresses.
func Mixed(notFound error) *Store {
	s := New(notFound)
	text := bytes.Repeat([]byte("a layer that was not compressed, line by line\n"), 100_000)
	s.Name("a.test/a:1", s.Manifest(AMD64, s.Layer(1, 5<<20), s.Put(ocispec.MediaTypeImageLayer, text), s.Layer(2, 300_000)))
	return s
}
