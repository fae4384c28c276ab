package inflate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// The errors of an invalid stream. A truncated stream is an [io.ErrUnexpectedEOF], and an
// error of the source is returned as it is.
var (
	// ErrHeader says that the data at the start, or after a member, is no gzip header.
	ErrHeader = errors.New("no valid gzip header")
	// ErrCorrupt says that the data violates RFC 1951. The error names the rule.
	ErrCorrupt = errors.New("corrupt deflate data")
	// ErrChecksum says that the output does not match the trailer.
	ErrChecksum = errors.New("gzip checksum or size does not match")
)

var (
	errCode     = fmt.Errorf("a code that stands for nothing: %w", ErrCorrupt)
	errDistance = fmt.Errorf("a match with what is before the start: %w", ErrCorrupt)
)

// decoder decodes one stream; it has about 130 KB.
type decoder struct {
	input
	window
	state state
	last  bool // the block is the last of its member
	left  uint // bytes of a stored block

	crc    uint32   // of the member's header, then of its output
	size   uint32   // of the output, in bytes, modulo 2^32
	summed uint     // end of the part of the window that crc and size include
	bytes  [10]byte // of a header or trailer
	failed error    // why there is no more output

	builder  builder
	length   [1 << lengthBits]entry
	distance [distanceTable]entry
	literal  [literalTable]entry
	endBits  uint // of the code of the end of the block
	fixed    bool // the tables are those of the fixed code
}

// state says what comes next in the stream.
type state uint8

const (
	atHeader state = iota
	atBlock
	inStored
	inHuffman
	atTrailer
)

var pool = sync.Pool{New: func() any { return new(decoder) }}

// Reader decompresses a gzip file of one or several members. It is not safe for concurrent
// use.
type Reader struct{ d *decoder }

// NewReader returns a Reader of src after it has read the header of the first member. It
// returns [io.EOF] for an empty source. It reads src in blocks of up to 64 KiB, also beyond
// the end of the gzip file.
func NewReader(src io.Reader) (*Reader, error) {
	d := pool.Get().(*decoder)
	d.reset(src)
	if err := d.header(); err != nil {
		d.release()
		return nil, err
	}
	return &Reader{d}, nil
}

// reset begins a stream.
func (d *decoder) reset(src io.Reader) {
	d.bits, d.have, d.pos, d.end, d.src, d.err = 0, 0, 0, 0, src, nil
	d.next, d.first = 0, 0
	d.state, d.failed = atHeader, nil
}

// release returns the decoder to the pool.
func (d *decoder) release() {
	d.src, d.err, d.failed = nil, nil, nil
	pool.Put(d)
}

// Close releases the decoder and does not close the source. Next returns [os.ErrClosed]
// afterwards.
func (r *Reader) Close() error {
	if r.d != nil {
		r.d.release()
		r.d = nil
	}
	return nil
}

// Next decodes the next part of the output into b and returns it as a slice of b. The Reader
// keeps no reference to b: the caller may pass the part on and call Next with another buffer.
// A part has about 200 KiB, the last one any length. It comes with the error that ended the
// stream, [io.EOF] if it is valid: all output comes before an error, so the complete member
// before [ErrChecksum].
func (r *Reader) Next(b *Buffer) ([]byte, error) {
	d := r.d
	if d == nil {
		return nil, os.ErrClosed
	}
	if d.failed != nil {
		return nil, d.failed
	}
	start := d.attach(b)
	d.summed = start
	d.failed = d.decode()
	d.account()
	part := b[start:d.next]
	d.detach()
	return part, d.failed
}

// decode decodes until the window is full or the stream has ended.
func (d *decoder) decode() error {
	for d.next < winFull {
		var err error
		switch d.state {
		case atHeader:
			err = d.header()
		case atBlock:
			err = d.block()
		case inStored:
			err = d.copyStored()
		case inHuffman:
			err = d.huffman()
		case atTrailer:
			err = d.trailer()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// huffman decodes a part of a block.
func (d *decoder) huffman() error {
	var done bool
	var err error
	if d.fill(inputPerTurn); d.end-d.pos >= inputPerTurn {
		done, err = d.fast()
	} else {
		done, err = d.careful()
	}
	if done {
		d.endBlock()
	}
	return err
}
