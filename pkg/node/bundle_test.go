//go:build linux

package node

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/archive"
)

// shelf is where tests take images from: a registry that nobody asks over HTTP.
type shelf struct {
	t        testing.TB
	registry *registrytest.Registry
	added    map[string]registrytest.Added // by the name in bundles
}

func newShelf(t testing.TB) *shelf {
	t.Helper()
	return &shelf{t: t, registry: registrytest.Start(t, registrytest.Options{}), added: map[string]registrytest.Added{}}
}

// image puts an image on the shelf under a name of Docker Hub.
func (s *shelf) image(repo, tag string, img registrytest.Image) string {
	s.t.Helper()
	a, err := s.registry.AddImage(repo, tag, img)
	return s.keep(a, err)
}

// index puts an image of several platforms on the shelf.
func (s *shelf) index(repo, tag string, idx registrytest.Index) string {
	s.t.Helper()
	a, err := s.registry.AddIndex(repo, tag, idx)
	return s.keep(a, err)
}

func (s *shelf) keep(a registrytest.Added, err error) string {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	name := "docker.io/" + a.Repo + ":" + a.Tag
	s.added[name] = a
	return name
}

// hello puts an image with a program that prints "hello from REPO" on the shelf.
func (s *shelf) hello(repo, tag string) string {
	s.t.Helper()
	return s.image(repo, tag, registrytest.Hello(repo, runtime.GOARCH, program(s.t)))
}

// pause puts the sandbox image on the shelf, under the name that
// test nodes look for.
func (s *shelf) pause() string {
	s.t.Helper()
	a, err := s.registry.AddPause(map[string][]byte{runtime.GOARCH: program(s.t)})
	if err != nil {
		s.t.Fatal(err)
	}
	name := "registry.k8s.io/pause:" + registrytest.PauseTag
	s.added[name] = a
	return name
}

// program is the executable of the images that run.
func program(t testing.TB) []byte {
	t.Helper()
	b, err := registrytest.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wanted is one image to be put into a bundle.
type wanted struct {
	name     string
	platform string // of the children of an index; empty: all
}

// bundle writes names into a bundle and opens it.
func (s *shelf) bundle(names ...string) *archive.Reader {
	s.t.Helper()
	var list []wanted
	for _, n := range names {
		list = append(list, wanted{name: n})
	}
	return s.pack(archive.PlanOptions{}, list...)
}

// pack writes a bundle with options.
func (s *shelf) pack(o archive.PlanOptions, list ...wanted) *archive.Reader {
	s.t.Helper()
	return openBundle(s.t, s.file(o, list...))
}

// file writes a bundle and returns its path.
func (s *shelf) file(o archive.PlanOptions, list ...wanted) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "bundle.tar")
	d, err := archive.OpenDraft(path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer d.Close()
	var images []archive.Image
	for _, w := range list {
		img, err := s.describe(d, w)
		if err != nil {
			s.t.Fatal(err)
		}
		images = append(images, img)
	}
	p, err := archive.NewPlan(images, d, o)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := d.Begin(s.t.Context(), p, nil); err != nil {
		s.t.Fatal(err)
	}
	for _, b := range d.Missing() {
		if err := s.fill(d, b.Digest); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := d.Commit(); err != nil {
		s.t.Fatal(err)
	}
	return path
}

// describe adds the documents of an image to the draft.
func (s *shelf) describe(d *archive.Draft, w wanted) (archive.Image, error) {
	a, ok := s.added[w.name]
	if !ok {
		return archive.Image{}, fmt.Errorf("%s is not on the shelf", w.name)
	}
	img := archive.Image{Name: w.name, Target: a.Descriptor}
	documents := []ocispec.Descriptor{a.Descriptor}
	for _, m := range a.Manifests {
		if w.platform == "" || m.Platform.OS+"/"+m.Platform.Architecture == w.platform {
			img.Present = append(img.Present, m.Descriptor)
			documents = append(documents, m.Descriptor)
		}
	}
	for _, doc := range documents {
		raw, err := s.registry.Manifest(a.Repo, doc.Digest.String())
		if err != nil {
			return img, err
		}
		if _, err := d.AddDocument(raw); err != nil {
			return img, err
		}
	}
	return img, nil
}

// fill copies one blob into the draft.
func (s *shelf) fill(d *archive.Draft, dg digest.Digest) error {
	w, err := d.Blob(dg)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, a := range s.added {
		r, err := s.registry.Blob(a.Repo, dg)
		if err != nil {
			continue
		}
		if _, err := io.Copy(io.NewOffsetWriter(w, 0), r); err != nil {
			return err
		}
		return w.Commit()
	}
	return fmt.Errorf("blob %s is not on the shelf", dg)
}

// openBundle opens a bundle until the test ends.
func openBundle(t testing.TB, path string) *archive.Reader {
	t.Helper()
	r, err := archive.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// flip changes one byte in the middle of a blob of the bundle file.
func flip(t testing.TB, path string, d digest.Digest) {
	t.Helper()
	r := openBundle(t, path)
	for _, b := range r.Blobs() {
		if b.Digest != d {
			continue
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var one [1]byte
		if _, err := f.ReadAt(one[:], b.Offset+b.Size/2); err != nil {
			t.Fatal(err)
		}
		one[0] ^= 0x10
		if _, err := f.WriteAt(one[:], b.Offset+b.Size/2); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Fatalf("blob %s is not in %s", d, path)
}

// namespaced gives a context for the containerd services of the node.
func (n *Node) namespaced(t testing.TB) context.Context {
	t.Helper()
	return n.in(t.Context())
}
