package registrytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
)

// inMemory is the size in bytes from which blobs live in files, or are made on the fly.
const inMemory = 1 << 20

// content is the bytes of a blob. It may be read from many goroutines.
type content interface {
	io.ReaderAt
	Size() int64
}

// store keeps the blobs, each once, and knows which repositories have them. It is the
// blob handler of the registry, for pushes.
type store struct {
	dir string // of this store alone

	mu     sync.Mutex
	blobs  map[digest.Digest]content
	repos  map[string]map[digest.Digest]bool
	files  []*os.File
	layers map[*Layer]builtLayer
}

// newStore makes an empty store with a folder of its own below parent.
func newStore(parent string) (*store, error) {
	dir, err := os.MkdirTemp(parent, "registry-")
	if err != nil {
		return nil, fmt.Errorf("make folder for blobs: %w", err)
	}
	return &store{
		dir: dir, blobs: map[digest.Digest]content{},
		repos: map[string]map[digest.Digest]bool{}, layers: map[*Layer]builtLayer{},
	}, nil
}

// close removes the folder.
func (s *store) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	s.files = nil
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// add puts a blob into a repository.
func (s *store) add(repo string, d digest.Digest, c content) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.blobs[d]; !ok {
		s.blobs[d] = c
	}
	if s.repos[repo] == nil {
		s.repos[repo] = map[digest.Digest]bool{}
	}
	s.repos[repo][d] = true
}

// touch makes a repository known.
func (s *store) addRepo(repo string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.repos[repo] == nil {
		s.repos[repo] = map[digest.Digest]bool{}
	}
}

// known says whether anything was ever put into a repository.
func (s *store) hasRepo(repo string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos[repo] != nil
}

// open finds a blob of a repository; registry.ErrNotFound if it has none such.
func (s *store) open(repo string, d digest.Digest) (content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.repos[repo][d] {
		return nil, registry.ErrNotFound
	}
	return s.blobs[d], nil
}

// remove takes a blob out of a repository and says whether it was there.
func (s *store) remove(repo string, d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := s.repos[repo][d]
	delete(s.repos[repo], d)
	return had
}

// Get gives a blob to the registry. It is registry.BlobHandler; the registry is not asked
// for blobs, but has to be able to read them.
func (s *store) Get(_ context.Context, repo string, h v1.Hash) (io.ReadCloser, error) {
	c, err := s.open(repo, digest.Digest(h.String()))
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.NewSectionReader(c, 0, c.Size())), nil
}

// Put takes a pushed blob, whose digest the reader checks. It is registry.BlobPutHandler.
func (s *store) Put(_ context.Context, repo string, h v1.Hash, rc io.ReadCloser) error {
	defer rc.Close()
	sp := s.newBlobWriter()
	if _, err := io.Copy(sp, rc); err != nil {
		return err
	}
	c, err := sp.content()
	if err != nil {
		return err
	}
	// For the last step of an upload the registry names the path up to "uploads".
	s.add(strings.TrimSuffix(repo, "/blobs"), digest.Digest(h.String()), c)
	return nil
}

// Delete takes a blob out of a repository. It is registry.BlobDeleteHandler.
func (s *store) Delete(_ context.Context, repo string, h v1.Hash) error {
	if !s.remove(repo, digest.Digest(h.String())) {
		return registry.ErrNotFound
	}
	return nil
}

// spool is content in the making: written once from the start, in memory as long as it
// is small and then in a file.
type blobWriter struct {
	store *store
	buf   bytes.Buffer
	file  *os.File
	size  int64
}

func (s *store) newBlobWriter() *blobWriter { return &blobWriter{store: s} }

// Write appends.
func (w *blobWriter) Write(p []byte) (int, error) {
	if w.file == nil && w.size+int64(len(p)) >= inMemory {
		if err := w.moveToFile(); err != nil {
			return 0, err
		}
	}
	var n int
	var err error
	if w.file != nil {
		n, err = w.file.Write(p)
	} else {
		n, err = w.buf.Write(p)
	}
	w.size += int64(n)
	return n, err
}

// spill goes on in a file.
func (w *blobWriter) moveToFile() error {
	f, err := os.CreateTemp(w.store.dir, "blob-")
	if err != nil {
		return fmt.Errorf("make file for blob: %w", err)
	}
	w.store.mu.Lock()
	w.store.files = append(w.store.files, f)
	w.store.mu.Unlock()
	if _, err := f.Write(w.buf.Bytes()); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(f.Name()), err)
	}
	w.file, w.buf = f, bytes.Buffer{}
	return nil
}

// content is what was written.
func (w *blobWriter) content() (content, error) {
	if w.file == nil {
		return bytes.NewReader(w.buf.Bytes()), nil
	}
	return &fileContent{w.file, w.size}, nil
}

// fileContent is content in an open file, which the store closes.
type fileContent struct {
	*os.File
	size int64
}

// Size is the length in bytes.
func (f *fileContent) Size() int64 { return f.size }
