package inflate

import (
	"encoding/binary"
	"io"
)

const (
	inMask = 1<<16 - 1 // of positions in the input buffer
	// inSize leaves room behind the mask for a word that begins below it.
	inSize = inMask + 1 + wordSize

	wordSize = 8 // bytes of the bit buffer
	// maxIdle is how often a source may give nothing, and no error, in a row.
	maxIdle = 100
)

// input is the source, a buffer of its bytes and a buffer of bits. DEFLATE packs bits
// from the lowest of each byte on (RFC 1951, section 3.1.1).
type input struct {
	bits uint64 // the next bits, the first one lowest; those above count are zero
	have uint   // how many of them are there
	pos  uint   // in raw, of the next byte
	end  uint   // in raw, of the first byte that is not there
	src  io.Reader
	err  error // why src gave no more
	raw  [inSize]byte
}

// fill moves what is left to the front and reads until the buffer holds at least want
// bytes; fewer mean that the source has ended, for the reason in err.
func (in *input) fill(want uint) {
	if in.end-in.pos >= want || in.err != nil {
		return
	}
	in.end = uint(copy(in.raw[:], in.raw[in.pos:in.end]))
	in.pos = 0
	for idle := 0; in.end < want && in.err == nil; idle++ {
		n, err := in.src.Read(in.raw[in.end : inMask+1])
		if n > 0 {
			in.end += uint(n)
			idle = 0
		}
		if in.err = err; err == nil && idle == maxIdle {
			in.err = io.ErrNoProgress
		}
	}
}

// ended is the error of a stream that needs more than the source has.
func (in *input) ended() error {
	if in.err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return in.err
}

// load gives 8 bytes of the buffer.
func (in *input) load(pos uint) uint64 {
	return binary.LittleEndian.Uint64(in.raw[pos&inMask:][:wordSize])
}

// top fills the bit buffer up to at least 56 bits, or as far as the source goes.
func (in *input) top() {
	if in.fill(wordSize); in.end-in.pos >= wordSize {
		in.bits |= in.load(in.pos) << in.have
		in.pos += (63 - in.have) / 8
		in.have |= 56
		in.bits &= 1<<in.have - 1
		return
	}
	for ; in.have <= 56 && in.pos < in.end; in.pos++ {
		in.bits |= uint64(in.raw[in.pos]) << in.have
		in.have += 8
	}
}

// take gives the next n bits, at most 32.
func (in *input) take(n uint) (uint, error) {
	if in.have < n {
		if in.top(); in.have < n {
			return 0, in.ended()
		}
	}
	v := uint(in.bits & (1<<n - 1))
	in.drop(n)
	return v, nil
}

// drop passes over n bits that are there.
func (in *input) drop(n uint) {
	in.bits >>= n
	in.have -= n
}

// align drops the bits up to the next byte. The rest of the bit buffer is whole bytes.
func (in *input) align() { in.drop(in.have % 8) }

// read fills p with the next bytes; the bit buffer stands at a byte's edge. It gives
// the number of bytes and, when these are fewer than asked for, why.
func (in *input) read(p []byte) (int, error) {
	n := 0
	for ; n < len(p) && in.have > 0; n++ {
		p[n] = byte(in.bits)
		in.drop(8)
	}
	for n < len(p) {
		if in.pos == in.end {
			if in.fill(1); in.pos == in.end {
				return n, in.ended()
			}
		}
		k := copy(p[n:], in.raw[in.pos:in.end])
		in.pos += uint(k)
		n += k
	}
	return n, nil
}
