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

// inMemory is the size in bytes from which blobs are kept in files or generated on demand.
const inMemory = 1 << 20

// content is the bytes of a blob. It is safe for concurrent use.
type content interface {
	io.ReaderAt
	Size() int64
}

// store keeps each blob once and knows which repositories contain it. It is also the blob
// handler of go-containerregistry's registry, for pushes.
type store struct {
	dir string // used by this store only

	mu     sync.Mutex
	blobs  map[digest.Digest]content
	repos  map[string]map[digest.Digest]bool
	files  []*os.File
	layers map[*Layer]builtLayer
}

// newStore returns an empty store with a new directory below parent.
func newStore(parent string) (*store, error) {
	dir, err := os.MkdirTemp(parent, "registry-")
	if err != nil {
		return nil, fmt.Errorf("make directory for blobs: %w", err)
	}
	return &store{
		dir: dir, blobs: map[digest.Digest]content{},
		repos: map[string]map[digest.Digest]bool{}, layers: map[*Layer]builtLayer{},
	}, nil
}

// close removes the directory.
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

// add adds a blob to a repository.
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

// addRepo makes a repository exist, even without blobs.
func (s *store) addRepo(repo string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.repos[repo] == nil {
		s.repos[repo] = map[digest.Digest]bool{}
	}
}

// hasRepo reports whether anything was ever added to a repository.
func (s *store) hasRepo(repo string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.repos[repo] != nil
}

// open returns a blob of a repository, or registry.ErrNotFound.
func (s *store) open(repo string, d digest.Digest) (content, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.repos[repo][d] {
		return nil, registry.ErrNotFound
	}
	return s.blobs[d], nil
}

// remove removes a blob from a repository and reports whether it was there.
func (s *store) remove(repo string, d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	had := s.repos[repo][d]
	delete(s.repos[repo], d)
	return had
}

// Get implements registry.BlobHandler. Clients' requests for blobs never reach the handler,
// but it must be able to read them.
func (s *store) Get(_ context.Context, repo string, h v1.Hash) (io.ReadCloser, error) {
	c, err := s.open(repo, digest.Digest(h.String()))
	if err != nil {
		return nil, err
	}
	return io.NopCloser(io.NewSectionReader(c, 0, c.Size())), nil
}

// Put implements registry.BlobPutHandler; rc verifies the digest.
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
	// For the last step of an upload go-containerregistry passes the path up to "uploads"
	// as the repository.
	s.add(strings.TrimSuffix(repo, "/blobs"), digest.Digest(h.String()), c)
	return nil
}

// Delete implements registry.BlobDeleteHandler.
func (s *store) Delete(_ context.Context, repo string, h v1.Hash) error {
	if !s.remove(repo, digest.Digest(h.String())) {
		return registry.ErrNotFound
	}
	return nil
}

// blobWriter collects the bytes of a blob: in memory while they are few, then in a file.
type blobWriter struct {
	store *store
	buf   bytes.Buffer
	file  *os.File
	size  int64
}

func (s *store) newBlobWriter() *blobWriter { return &blobWriter{store: s} }

// Write appends p.
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

// moveToFile moves what was written so far to a file.
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

// content returns what was written.
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

// Size returns the length in bytes.
func (f *fileContent) Size() int64 { return f.size }
