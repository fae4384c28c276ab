// Package placed writes blobs into the directory of containerd's content store, so that they
// need not pass through its API.
//
// containerd's metadata store adds a blob that its content store has already, because another
// namespace uses it, without its bytes: content.Writer with the digest answers with the size as
// the offset, and Commit writes metadata only (core/metadata/content.go; the policy "shared",
// which is the default of all versions from 1.6 to 2.4). A blob that this package has placed
// looks to containerd like one of another namespace. If containerd does not take it over, the
// caller sends it from the placed file.
//
// A file has no name until it is complete, its digest is right and it is on the disk. So a
// process that dies leaves nothing, or a complete blob that no namespace has. The next load
// uses that one; otherwise it is removed by the next collection of garbage in which containerd
// removes content. This package never removes a name: containerd may own it.
package placed

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/pkg/node/internal/disk"
)

// Store is the content store of a containerd. It is safe for concurrent use. A nil Store
// places nothing.
type Store struct {
	root    string
	budget  *disk.Budget
	refuses atomic.Bool
	verity  func(fd uintptr) bool // reports whether containerd seals its blobs
}

// New returns the content store at root, a directory that containerd has made. What is placed
// is drawn from the budget.
func New(root string, budget *disk.Budget) *Store {
	return &Store{root: root, budget: budget, verity: sealable}
}

// Blob is what Place writes.
type Blob struct {
	Digest digest.Digest // empty if only Sum has it
	Size   int64
	In     io.Reader
	// Sum returns the digest of all bytes that were read from In, or why they are wrong. It is
	// called at the end of In.
	Sum func() (digest.Digest, error)
}

// Place writes a blob into the store. It returns nil, and has read nothing, if the blob is
// there or cannot be placed, and the caller has to send it. The errors are those of In, Sum,
// the disk and ctx, and [*disk.FullError]. Then no name was created, unless the disk failed
// when the directory was synced, after the file.
func (s *Store) Place(ctx context.Context, b Blob) (*File, error) {
	if s == nil || s.refuses.Load() {
		return nil, nil
	}
	f := s.create(b)
	if f == nil {
		return nil, nil
	}
	if err := f.fill(ctx, b); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// PlaceAll is [Store.Place] for several small blobs. One sync puts all on the disk, then all
// get their names. PlaceAll returns the digests of those that have one, also with an error; the
// caller has to send the others. Until it returns, each blob has two open files.
func (s *Store) PlaceAll(ctx context.Context, blobs []Blob) ([]digest.Digest, error) {
	var files []*File
	var err error
	for _, b := range blobs {
		if s == nil || s.refuses.Load() || err != nil {
			break
		}
		if f := s.create(b); f != nil {
			defer f.Close()
			if err = f.write(ctx, b); err == nil {
				files = append(files, f)
			}
		}
	}
	var linked []*File
	if err == nil {
		linked, err = linkAll(files)
	}
	var digests []digest.Digest
	for _, f := range linked {
		digests = append(digests, f.digest)
	}
	for _, f := range files {
		if !slices.Contains(linked, f) {
			s.budget.Return(s.budget.Files(1, f.size))
		}
	}
	return digests, err
}

// fill writes the bytes of b and links the file to its name.
func (f *File) fill(ctx context.Context, b Blob) error {
	err := f.write(ctx, b)
	if err != nil {
		return err
	}
	if err = f.link(); err != nil {
		f.store.budget.Return(f.store.budget.Files(1, b.Size))
	}
	return err
}

// write writes the bytes of b, without a name.
func (f *File) write(ctx context.Context, b Blob) error {
	budget := f.store.budget
	if err := budget.Draw(budget.Files(1, b.Size)); err != nil {
		return err
	}
	buf := iox.Buffer()
	defer iox.Release(buf)
	in := iox.ReaderFunc(func(p []byte) (int, error) {
		if err := budget.Draw(disk.Cost{}); err != nil { // others write as well
			return 0, err
		}
		return b.In.Read(p)
	})
	n, err := io.CopyBuffer(struct{ io.Writer }{f.file}, iox.WithContext(ctx, in), *buf)
	if err == nil && n != b.Size {
		err = fmt.Errorf("%d of %d bytes: %w", n, b.Size, io.ErrUnexpectedEOF)
	}
	if err == nil {
		f.digest, err = b.Sum()
	}
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		budget.Return(budget.Files(1, b.Size))
	}
	return err
}

// Digest returns the digest of the file's bytes.
func (f *File) Digest() digest.Digest { return f.digest }

// Size returns the size of the file in bytes, 0 for a nil File.
func (f *File) Size() int64 {
	if f == nil {
		return 0
	}
	return f.size
}

// Open returns the bytes of the file from offset on, also when its name has been removed.
func (f *File) Open(offset int64) (io.Reader, error) {
	return io.NewSectionReader(f.file, offset, f.size-offset), nil
}

// Refused records that containerd did not take the file over and will have a copy of its own.
// The store then places nothing any more, unless a collection of garbage has removed the file.
// It does nothing for a nil File.
func (f *File) Refused() {
	if f == nil {
		return
	}
	if f.named() {
		f.store.refuses.Store(true)
	}
	// One of the two copies goes away: containerd drops its own if the name is still there,
	// and the kernel frees this one if it is not.
	f.store.budget.Return(f.store.budget.Files(1, f.size))
}
