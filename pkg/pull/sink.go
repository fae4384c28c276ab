package pull

import (
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Sink takes the bytes of one blob, at offsets from the blob's start.
type Sink interface {
	io.WriterAt
	// Prefix is how many bytes from the start are there already and need not be fetched.
	Prefix() int64
	// Commit checks size and digest when all bytes are there. After an error nothing of
	// the blob counts as present, and it may come again; a sink that cannot take bytes back,
	// such as a pipe, has a Prefix after it.
	Commit() error
	// Close ends the writing; without a Commit what is there may be taken up again.
	Close() error
}

// Range is a run of a blob's bytes, from Start up to but not including End.
type Range struct{ Start, End int64 }

// Resumer is a [Sink] whose bytes may come in any order, from several goroutines at once
// though never the same byte twice at the same time. Only such a sink is filled by several
// requests together, and only for it is what an earlier run left behind a hole kept.
type Resumer interface {
	Sink
	// Missing lists what is still to come, ascending.
	Missing() []Range
}

// missing lists what a sink lacks of a blob of some size. A sink that tells nonsense is
// filled from its start.
func missing(s Sink, size int64) []Range {
	r, ok := s.(Resumer)
	if !ok {
		if p := s.Prefix(); p >= 0 && p < size {
			return []Range{{p, size}}
		} else if p == size {
			return nil
		}
		return []Range{{0, size}}
	}
	last := int64(0)
	list := r.Missing()
	for _, m := range list {
		if m.Start < last || m.End <= m.Start || m.End > size {
			return []Range{{0, size}}
		}
		last = m.End
	}
	return list
}

// buffer is a sink in memory for a config.
type buffer struct {
	want ocispec.Descriptor
	b    []byte
}

func (s *buffer) WriteAt(p []byte, off int64) (int, error) { return copy(s.b[off:], p), nil }
func (s *buffer) Prefix() int64                            { return 0 }
func (s *buffer) Close() error                             { return nil }

func (s *buffer) Commit() error {
	if got := s.want.Digest.Algorithm().FromBytes(s.b); got != s.want.Digest {
		return fmt.Errorf("blob %s has digest %s", s.want.Digest, got)
	}
	return nil
}
