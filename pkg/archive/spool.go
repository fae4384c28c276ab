package archive

import (
	"fmt"
	"os"

	"stowage/internal/fsutil"
)

// spool is a temporary file without a name: it goes with the process, however that ends.
type spool struct {
	f    *os.File
	name string // to remove at Close, where an open file cannot lose its name
	dir  string
	room int64 // bytes it may take, or -1
}

// newSpool makes one in [os.TempDir], with room for size bytes reserved, if that is not 0.
func newSpool(size int64) (*spool, error) {
	dir := os.TempDir()
	f, err := os.CreateTemp(dir, "stowage-*")
	if err != nil {
		return nil, fmt.Errorf("temporary file: %w", err)
	}
	s := &spool{f: f, dir: dir, room: -1}
	if err := os.Remove(f.Name()); err != nil {
		s.name = f.Name()
	}
	// Others live there too: on a node a full disk makes the kubelet evict pods.
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

func (s *spool) fits(size int64) error {
	if s.room >= 0 && size > s.room {
		return &SpaceError{Path: s.dir, Need: size, Free: s.room}
	}
	return nil
}

// WriteAt implements [io.WriterAt], within the room there is.
func (s *spool) WriteAt(p []byte, off int64) (int, error) {
	if err := s.fits(off + int64(len(p))); err != nil {
		return 0, err
	}
	n, err := s.f.WriteAt(p, off)
	if err != nil {
		err = fmt.Errorf("temporary file: %w", NoSpace(err))
	}
	return n, err
}

// Close gives the space back.
func (s *spool) Close() error {
	err := s.f.Close()
	if s.name != "" {
		os.Remove(s.name) // nothing depends on it
	}
	return err
}
