package archive

import (
	"fmt"
	"os"

	"stowage/internal/fsutil"
)

// TempError says that no temporary file can be made in a directory.
type TempError struct {
	Dir string // see [os.TempDir]
	Err error
}

// Error returns a line with the directory.
func (e *TempError) Error() string { return fmt.Sprintf("temporary file in %s: %v", e.Dir, e.Err) }

// Unwrap returns the cause.
func (e *TempError) Unwrap() error { return e.Err }

// tempFile is an unlinked temporary file: the kernel frees it when the process exits.
type tempFile struct {
	f    *os.File
	name string // to remove at Close, where an open file cannot be unlinked
	dir  string
	room int64 // bytes that may be written, or -1
}

// newTempFile creates a temporary file in [os.TempDir] and reserves size bytes, unless
// that is 0.
func newTempFile(size int64) (*tempFile, error) {
	dir := os.TempDir()
	f, err := os.CreateTemp(dir, "stowage-*")
	if err != nil {
		return nil, &TempError{Dir: dir, Err: err}
	}
	s := &tempFile{f: f, dir: dir, room: -1}
	if err := os.Remove(f.Name()); err != nil {
		s.name = f.Name()
	}
	// Others use the disk too: when it is full on a node, the kubelet evicts pods.
	if free, known := fsutil.Free(dir); known {
		s.room = free - free/10
	}
	if err := s.fits(size); err != nil {
		s.Close()
		return nil, err
	}
	if size == 0 {
		return s, nil
	}
	if err := NoSpace(fsutil.Reserve(f, size)); err != nil {
		s.Close()
		return nil, fmt.Errorf("temporary file: %w", err)
	}
	return s, nil
}

func (s *tempFile) fits(size int64) error {
	if s.room >= 0 && size > s.room {
		return &SpaceError{Path: s.dir, Need: size, Free: s.room}
	}
	return nil
}

// WriteAt implements [io.WriterAt], within the room.
func (s *tempFile) WriteAt(p []byte, off int64) (int, error) {
	if err := s.fits(off + int64(len(p))); err != nil {
		return 0, err
	}
	n, err := s.f.WriteAt(p, off)
	if err != nil {
		err = fmt.Errorf("temporary file: %w", NoSpace(err))
	}
	return n, err
}

// Close frees the space.
func (s *tempFile) Close() error {
	err := s.f.Close()
	if s.name != "" {
		os.Remove(s.name) // nothing depends on it
	}
	return err
}
