package pull

import (
	"fmt"
	"io"
	"iter"

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

// Resumer is a [Sink] whose bytes may come in any order, from several goroutines at once
// though never the same byte twice at the same time. Only such a sink is filled by several
// requests together, and only for it is what an earlier run left behind a hole kept.
type Resumer interface {
	Sink
	// Missing yields the offset and length of each range that is still to come, ascending.
	Missing() iter.Seq2[int64, int64]
}

// missing lists what a sink lacks of a blob of size bytes. A sink whose answer makes no
// sense is filled from its start.
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

func (s *memorySink) WriteAt(p []byte, off int64) (int, error) { return copy(s.b[off:], p), nil }
func (s *memorySink) Prefix() int64                            { return 0 }
func (s *memorySink) Close() error                             { return nil }

func (s *memorySink) Commit() error {
	if got := s.want.Digest.Algorithm().FromBytes(s.b); got != s.want.Digest {
		return fmt.Errorf("blob %s has digest %s", s.want.Digest, got)
	}
	return nil
}
