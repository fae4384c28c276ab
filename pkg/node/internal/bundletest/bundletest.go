// Package bundletest writes bundles of generated images for the tests of pkg/node.
package bundletest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/archive/writer"
)

// Shelf holds the images that a test puts into bundles, in a registry that is not asked
// over HTTP.
type Shelf struct {
	T        testing.TB
	Registry *registrytest.Registry
	Added    map[string]registrytest.Added // by the name in bundles
	Attached map[string][]Attached         // what bundles have about an image, by its name
}

// Attached is a referrer of an image.
type Attached struct {
	registrytest.Added
	Descriptor ocispec.Descriptor // as in [archive.Image].Referrers
}

// New returns an empty shelf. Its methods end the test when something fails.
func New(t testing.TB) *Shelf {
	t.Helper()
	return &Shelf{T: t, Registry: registrytest.Start(t, registrytest.Options{}), Added: map[string]registrytest.Added{}, Attached: map[string][]Attached{}}
}

// Image puts an image on the shelf under a name of Docker Hub.
func (s *Shelf) Image(repo, tag string, img registrytest.Image) string {
	s.T.Helper()
	a, err := s.Registry.AddImage(repo, tag, img)
	return s.Keep(a, err)
}

// Index puts an image of several platforms on the shelf.
func (s *Shelf) Index(repo, tag string, idx registrytest.Index) string {
	s.T.Helper()
	a, err := s.Registry.AddIndex(repo, tag, idx)
	return s.Keep(a, err)
}

// Keep records an image that was added to the registry and returns its name in bundles.
func (s *Shelf) Keep(a registrytest.Added, err error) string {
	s.T.Helper()
	must(s.T, err)
	name := "docker.io/" + a.Repo + ":" + a.Tag
	s.Added[name] = a
	return name
}

// Refer adds a signature with a subject to an image.
func (s *Shelf) Refer(name string) Attached {
	s.T.Helper()
	a, err := s.Registry.AddReferrer(s.Added[name].Repo, s.Added[name].Descriptor)
	return s.attach(name, "", a, err)
}

// Attach adds an artifact to an image, about that.
func (s *Shelf) Attach(name string, a registrytest.Artifact) Attached {
	s.T.Helper()
	about := s.Added[name].Descriptor
	a.Subject = &about
	added, err := s.Registry.AddArtifact(s.Added[name].Repo, "", a)
	return s.attach(name, "", added, err)
}

// Sign adds a signature under a tag to an image.
func (s *Shelf) Sign(name string) Attached {
	s.T.Helper()
	a, err := s.Registry.AddCosignTag(s.Added[name].Repo, s.Added[name].Descriptor.Digest)
	return s.attach(name, "docker.io/"+a.Repo+":"+a.Tag, a, err)
}

func (s *Shelf) attach(name, tag string, a registrytest.Added, err error) Attached {
	s.T.Helper()
	must(s.T, err)
	out := Attached{Added: a, Descriptor: a.Descriptor}
	if tag != "" {
		out.Descriptor.Annotations = map[string]string{archive.AnnotationTag: tag}
	}
	s.Attached[name] = append(s.Attached[name], out)
	return out
}

// Hello puts an image with a program that prints "hello from REPO" on the shelf.
func (s *Shelf) Hello(repo, tag string) string {
	s.T.Helper()
	return s.Image(repo, tag, registrytest.Hello(repo, runtime.GOARCH, Program(s.T)))
}

// Sandbox puts the sandbox image on the shelf, under the name that test nodes look for.
func (s *Shelf) Sandbox() string {
	s.T.Helper()
	a, err := s.Registry.AddPause(map[string][]byte{runtime.GOARCH: Program(s.T)})
	must(s.T, err)
	name := "registry.k8s.io/pause:" + registrytest.PauseTag
	s.Added[name] = a
	return name
}

// Program returns the executable of the images that run.
func Program(t testing.TB) []byte {
	t.Helper()
	b, err := registrytest.Program(t.Context())
	must(t, err)
	return b
}

// Wanted is one image to put into a bundle.
type Wanted struct {
	Name     string
	Platform string // of the children of an index; empty: all
}

// Bundle writes names into a bundle and opens it.
func (s *Shelf) Bundle(names ...string) *archive.Reader {
	s.T.Helper()
	var list []Wanted
	for _, n := range names {
		list = append(list, Wanted{Name: n})
	}
	return s.Pack(archive.PlanOptions{}, list...)
}

// Pack writes a bundle with options.
func (s *Shelf) Pack(o archive.PlanOptions, list ...Wanted) *archive.Reader {
	s.T.Helper()
	return Open(s.T, s.File(o, list...))
}

// File writes a bundle and returns its path.
func (s *Shelf) File(o archive.PlanOptions, list ...Wanted) string {
	s.T.Helper()
	path := filepath.Join(s.T.TempDir(), "bundle.tar")
	d, err := writer.Open(path)
	must(s.T, err)
	defer d.Close()
	var images []archive.Image
	for _, w := range list {
		img, err := s.describe(d, w)
		must(s.T, err)
		images = append(images, img)
	}
	p, err := archive.NewPlan(images, d, o)
	must(s.T, err)
	must(s.T, d.Start(s.T.Context(), p, nil))
	for _, b := range d.Missing() {
		must(s.T, s.fill(d, b.Digest))
	}
	must(s.T, d.Commit())
	return path
}

// describe adds the manifests of an image to the draft.
func (s *Shelf) describe(d *writer.File, w Wanted) (archive.Image, error) {
	a, ok := s.Added[w.Name]
	if !ok {
		return archive.Image{}, fmt.Errorf("%s is not on the shelf", w.Name)
	}
	img := archive.Image{Name: w.Name, Target: a.Descriptor}
	manifests := []ocispec.Descriptor{a.Descriptor}
	for _, m := range a.Manifests {
		if w.Platform == "" || m.Platform.OS+"/"+m.Platform.Architecture == w.Platform {
			img.Present = append(img.Present, m.Descriptor)
			manifests = append(manifests, m.Descriptor)
		}
	}
	for _, r := range s.Attached[w.Name] {
		img.Referrers = append(img.Referrers, r.Descriptor)
		manifests = append(manifests, r.Descriptor)
	}
	for _, doc := range manifests {
		raw, err := s.Registry.Manifest(a.Repo, doc.Digest.String())
		if err != nil {
			return img, err
		}
		if _, err := d.AddMetadata(raw); err != nil {
			return img, err
		}
	}
	return img, nil
}

// fill copies one blob into the file.
func (s *Shelf) fill(d *writer.File, dg digest.Digest) error {
	w, err := d.Blob(dg)
	if err != nil {
		return err
	}
	defer w.Close()
	for _, a := range s.Added {
		r, err := s.Registry.Blob(a.Repo, dg)
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

// Open opens a bundle until the test ends.
func Open(t testing.TB, path string) *archive.Reader {
	t.Helper()
	r, err := archive.Open(t.Context(), path, nil)
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

// Flip inverts one bit in the middle of a blob of the bundle file.
func Flip(t testing.TB, path string, d digest.Digest) {
	t.Helper()
	r := Open(t, path)
	for _, b := range r.Blobs() {
		if b.Digest != d {
			continue
		}
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		must(t, err)
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

// Compress compresses a bundle file and returns the path of the result.
func Compress(t testing.TB, path string, c archive.Compression) string {
	t.Helper()
	in, err := os.Open(path)
	must(t, err)
	defer in.Close()
	out, err := os.Create(path + map[archive.Compression]string{archive.Gzip: ".gz", archive.Zstd: ".zst"}[c])
	must(t, err)
	defer out.Close()
	var w io.WriteCloser = gzip.NewWriter(out)
	if c == archive.Zstd {
		w, err = zstd.NewWriter(out)
		must(t, err)
	}
	_, err = io.Copy(w, in)
	must(t, err)
	must(t, w.Close())
	return out.Name()
}

// Gzip returns b compressed with gzip.
func Gzip(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	must(t, errors.Join(err, w.Close()))
	return out.Bytes()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
