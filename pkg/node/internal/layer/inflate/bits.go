package inflate

import (
	"encoding/binary"
	"io"
)

const (
	inMask = 1<<16 - 1 // of positions in the input buffer
	// inSize has room beyond the mask for a word that begins below it.
	inSize = inMask + 1 + wordSize

	wordSize = 8 // bytes of the bit buffer
	// maxIdle is how often in a row a source may return no bytes and no error.
	maxIdle = 100
)

// input is the source with a buffer of bytes and a buffer of bits. DEFLATE packs bits from
// the lowest bit of each byte (RFC 1951, section 3.1.1).
type input struct {
	bits uint64 // the next bits, the first one lowest; bits above have are zero
	have uint   // how many of them are valid
	pos  uint   // in raw, of the next byte
	end  uint   // in raw, of the end of the bytes
	src  io.Reader
	err  error // why src returned no more
	raw  [inSize]byte
}

// fill moves the remaining bytes to the front and reads until the buffer has at least want
// bytes. It has fewer only if the source has ended, for the reason in err.
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

// ended returns the error of a stream that needs more than the source has.
func (in *input) ended() error {
	if in.err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return in.err
}

// load returns 8 bytes of the buffer.
func (in *input) load(pos uint) uint64 {
	return binary.LittleEndian.Uint64(in.raw[pos&inMask:][:wordSize])
}

// top fills the bit buffer to at least 56 bits, or to the end of the source.
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

// take returns the next n bits, at most 32.
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

// drop skips n bits, which the bit buffer has.
func (in *input) drop(n uint) {
	in.bits >>= n
	in.have -= n
}

// align drops the bits up to the next byte. The bit buffer then has complete bytes.
func (in *input) align() { in.drop(in.have % 8) }

// read fills p with the next bytes; the bit buffer must be aligned. It returns the number of
// bytes and, if they are fewer than len(p), the reason.
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
