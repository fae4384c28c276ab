package pull

import (
	"fmt"
	"io"
	"iter"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Sink stores the bytes of one blob, at offsets from the blob's start.
type Sink interface {
	io.WriterAt
	// Prefix returns how many bytes from the start are stored already and need not be
	// fetched.
	Prefix() int64
	// Commit checks size and digest when all bytes are written. After an error no byte of
	// the blob counts as stored, and it may be written again; a sink that cannot take bytes
	// back, such as a pipe, still has a Prefix then.
	Commit() error
	// Close ends the writing; without a Commit a later run may resume from what is stored.
	Close() error
}

// Resumer is a [Sink] that accepts bytes in any order, from several goroutines at once
// though never the same byte twice at the same time. Only such a sink is filled by several
// requests at once, and only from such a sink are bytes after a gap used again.
type Resumer interface {
	Sink
	// Missing yields the offset and length of each range that is not stored yet, ascending.
	Missing() iter.Seq2[int64, int64]
}

// missing returns the ranges that a sink lacks of a blob of size bytes. A sink whose answer
// makes no sense is filled from its start.
func missing(s Sink, size int64) []segment {
	r, ok := s.(Resumer)
	if !ok {
		if p := s.Prefix(); p >= 0 && p < size {
			return []segment{{p, size}}
		} else if p == size {
			return nil
		}
		return []segment{{0, size}}
	}
	var list []segment
	last := int64(0)
	for off, length := range r.Missing() {
		if off < last || length <= 0 || length > size-off {
			return []segment{{0, size}}
		}
		last = off + length
		list = append(list, segment{off, last})
	}
	return list
}

// memorySink is a sink in memory for a config.
type memorySink struct {
	want ocispec.Descriptor
	b    []byte
}

// WriteAt implements [io.WriterAt].
func (s *memorySink) WriteAt(p []byte, off int64) (int, error) { return copy(s.b[off:], p), nil }

// Prefix returns 0: nothing is stored before the fetch.
func (s *memorySink) Prefix() int64 { return 0 }

// Close does nothing.
func (s *memorySink) Close() error { return nil }

// Commit checks the digest.
func (s *memorySink) Commit() error {
	if got := s.want.Digest.Algorithm().FromBytes(s.b); got != s.want.Digest {
		return fmt.Errorf("blob %s has digest %s", s.want.Digest, got)
	}
	return nil
}
