package writer

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
	"stowage/pkg/archive/internal/archivetest"
)

// store is a store of images and the images that a test plans.
type store struct {
	*archivetest.Store
	images []archive.Image
}

var amd64 = archivetest.AMD64

func newStore() *store { return &store{Store: archivetest.New(archive.ErrNotFound)} }

// from takes the images of a store.
func from(a *archivetest.Store) *store {
	s := &store{Store: a}
	for _, i := range a.Images {
		s.name(i.Name, i.Target, i.Present...)
	}
	return s
}

func small() *store { return from(archivetest.Small(archive.ErrNotFound)) }

func mixed() *store { return from(archivetest.Mixed(archive.ErrNotFound)) }

func big(size int) (*store, digest.Digest) {
	s, d := archivetest.Big(archive.ErrNotFound, size)
	return from(s), d
}

// name adds an image.
func (s *store) name(name string, target ocispec.Descriptor, present ...ocispec.Descriptor) {
	s.images = append(s.images, archive.Image{Name: name, Target: target, Present: present})
}

// plan plans the store's images.
func (s *store) plan(t testing.TB) *archive.Plan {
	t.Helper()
	p, err := archive.NewPlan(s.images, s, archive.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// start opens a file, adds the manifests and starts it.
func (s *store) start(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	for _, b := range s.plan(t).Blobs() {
		if b.Manifest {
			if _, err := f.AddMetadata(s.Blobs[b.Digest]); err != nil {
				t.Fatal(err)
			}
		}
	}
	p, err := archive.NewPlan(s.images, f, archive.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Start(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// fill writes what is missing with a number of goroutines, in chunks of chunk bytes.
func (s *store) fill(d blobOpener, jobs, chunk int) error {
	work := make(chan archive.Blob)
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

// blobOpener is what File and Stream have in common.
type blobOpener interface {
	Missing() []archive.Blob
	Blob(digest.Digest) (*Blob, error)
}

// write writes one blob from its prefix on.
func (s *store) write(d blobOpener, dg digest.Digest, chunk int) error {
	w, err := d.Blob(dg)
	if err != nil {
		return err
	}
	defer w.Close()
	raw := s.Blobs[dg]
	for off := int(w.Prefix()); off < len(raw); off += chunk {
		if _, err := w.WriteAt(raw[off:min(off+chunk, len(raw))], int64(off)); err != nil {
			return err
		}
	}
	return w.Commit()
}

// bundle writes the file and returns its bytes.
func (s *store) bundle(t testing.TB) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tar")
	f := s.start(t, path)
	if err := errors.Join(s.fill(f, 1, 1000), f.Commit()); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// bundleAs writes a compressed bundle and returns its path.
func (s *store) bundleAs(t testing.TB, c archive.Compression) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.tar."+c.String())
	f := s.start(t, path)
	if err := errors.Join(s.fill(f, 2, 1000), f.CommitAs(t.Context(), c, nil)); err != nil {
		t.Fatal(err)
	}
	return path
}

// open reads a bundle that must be intact.
func open(t testing.TB, raw []byte) *archive.Reader {
	t.Helper()
	r, err := archive.NewReader(bytes.NewReader(raw), int64(len(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// missing lists the ranges of a blob that are not written yet.
func missing(b *Blob) []span {
	var out []span
	for off, length := range b.Missing() {
		out = append(out, span{off, off + length})
	}
	return out
}
