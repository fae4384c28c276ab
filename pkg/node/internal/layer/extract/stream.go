package extract

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
)

// maxHead is how much of a header and its extensions is remembered, in bytes. Those of real
// files have 512 to 3072.
const maxHead = 64 << 10

// errLongHead says that a header is longer than maxHead.
var errLongHead = errors.New("the header is long")

// stream reads the entries of a source: the headers with the package tar, the contents part
// by part, without a copy.
type stream struct {
	src  Source
	part []byte // not yet read
	err  error  // that follows part

	head    []byte // what was read of the current entry's header
	content int64  // bytes of the current entry that were not read yet
	padding int64  // bytes between its content and the next header
	taken   bool   // part of its content was read
}

// next returns the header of the next entry, and at the end of the archive [io.EOF]. After
// errLongHead the header is not complete.
func (s *stream) next() (*tar.Header, error) {
	if err := s.skip(s.content); err != nil {
		return nil, unexpected(err)
	}
	if err := s.skip(s.padding); err != nil {
		return nil, err // the package tar, too, accepts an archive that ends here
	}
	s.head, s.content, s.padding, s.taken = s.head[:0], 0, 0, false
	h, err := tar.NewReader(recorder{s}).Next()
	if err == nil && h.Typeflag == tar.TypeReg {
		s.content, s.padding = h.Size, -h.Size&511
	}
	return h, err
}

// take returns the next bytes of the entry's content, or [io.EOF] after the last of them.
// They are valid until the next call of a method.
func (s *stream) take() ([]byte, error) {
	if s.content == 0 {
		return nil, io.EOF
	}
	if err := s.fill(); err != nil {
		return nil, unexpected(err)
	}
	b := s.advance(s.content)
	s.content -= int64(len(b))
	s.taken = true
	return b, nil
}

// rest returns a reader of the stream from the header of the current entry on, whose
// content must not have been read.
func (s *stream) rest() io.Reader {
	return io.MultiReader(bytes.NewReader(bytes.Clone(s.head)), s)
}

// Read reads what lies ahead, be it headers or content.
func (s *stream) Read(p []byte) (int, error) {
	if err := s.fill(); err != nil {
		return 0, err
	}
	return copy(p, s.advance(int64(len(p)))), nil
}

// fill makes sure that there is something to read, or returns the error at that place.
func (s *stream) fill() error {
	for len(s.part) == 0 {
		if s.err != nil {
			return s.err
		}
		s.part, s.err = s.src.Next()
	}
	return nil
}

// advance returns the next bytes of the part, at most n.
func (s *stream) advance(n int64) []byte {
	b := s.part[:min(int64(len(s.part)), n)]
	s.part = s.part[len(b):]
	return b
}

// skip reads n bytes.
func (s *stream) skip(n int64) error {
	for n > 0 {
		if err := s.fill(); err != nil {
			return err
		}
		n -= int64(len(s.advance(n)))
	}
	return nil
}

// recorder reads headers of a stream and remembers them.
type recorder struct{ s *stream }

// Read implements [io.Reader].
func (r recorder) Read(p []byte) (int, error) {
	if len(r.s.head) >= maxHead {
		return 0, errLongHead
	}
	n, err := r.s.Read(p)
	r.s.head = append(r.s.head, p[:n]...)
	return n, err
}

// unexpected returns err, or [io.ErrUnexpectedEOF] for the end of the stream.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
