package inflate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
)

// What is wrong with a stream. One that is only too short is an [io.ErrUnexpectedEOF],
// and an error of the source comes as it is.
var (
	// ErrHeader: at the start, or behind a member, is something else than a gzip file.
	ErrHeader = errors.New("no valid gzip header")
	// ErrCorrupt: the compressed data breaks a rule of RFC 1951. The error says which.
	ErrCorrupt = errors.New("corrupt deflate data")
	// ErrChecksum: the output is not what the trailer says.
	ErrChecksum = errors.New("gzip checksum or size does not match")
)

var (
	errCode     = fmt.Errorf("a code that stands for nothing: %w", ErrCorrupt)
	errDistance = fmt.Errorf("a match with what is before the start: %w", ErrCorrupt)
)

// decoder is one stream at work; about 350 KB.
type decoder struct {
	input
	window
	state state
	last  bool // the block is the last of its member
	left  uint // bytes of a stored block

	crc    uint32   // of the member's header, then of its output
	size   uint32   // of the output, in bytes, modulo 2^32
	summed uint     // up to where the window is in both
	bytes  [10]byte // of a header or trailer
	failed error    // why there is no more output

	builder  builder
	length   [1 << lengthBits]entry
	distance [distanceTable]entry
	literal  [literalTable]entry
	endBits  uint // of the code for the end of the block
	fixed    bool // all these are those of the fixed code
}

// state is what comes next in the stream.
type state uint8

const (
	atHeader state = iota
	atBlock
	inStored
	inHuffman
	atTrailer
)

var pool = sync.Pool{New: func() any { return new(decoder) }}

// Reader gives the uncompressed bytes of a gzip file of one or several members. It may
// be used from one goroutine at a time.
type Reader struct{ d *decoder }

// NewReader reads the header of the first member; an empty source is an [io.EOF]. It
// reads ahead, also beyond the end of the file, in blocks of up to 64 KiB.
func NewReader(src io.Reader) (*Reader, error) {
	d := pool.Get().(*decoder)
	d.reset(src)
	if err := d.header(); err != nil {
		d.release()
		return nil, err
	}
	return &Reader{d}, nil
}

// reset begins a stream. What the buffers hold of the last one stays out of reach: no
// match goes behind the start of its member.
func (d *decoder) reset(src io.Reader) {
	d.bits, d.have, d.pos, d.end, d.src, d.err = 0, 0, 0, 0, src, nil
	d.next, d.first, d.given = 0, 0, 0
	d.state, d.failed = atHeader, nil
}

// release makes the decoder available to others.
func (d *decoder) release() {
	d.src, d.err, d.failed = nil, nil, nil
	pool.Put(d)
}

// Close releases the reader's buffers, not the source. Reading afterwards is an
// [os.ErrClosed].
func (r *Reader) Close() error {
	if r.d != nil {
		r.d.release()
		r.d = nil
	}
	return nil
}

// Read implements [io.Reader]. Output that comes before an error is given first; of a
// member whose checksum does not match, that is all of it.
func (r *Reader) Read(p []byte) (int, error) {
	d := r.d
	if d == nil {
		return 0, os.ErrClosed
	}
	for d.given == d.next && len(p) > 0 {
		if d.failed != nil {
			return 0, d.failed
		}
		d.makeRoom()
		d.summed = d.next
		d.failed = d.decode()
		d.account()
	}
	n := copy(p, d.out[d.given:d.next])
	d.given += uint(n)
	return n, nil
}

// decode goes on until the window is full or the stream has ended.
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
