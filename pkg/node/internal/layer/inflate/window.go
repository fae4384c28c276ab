package inflate

import "encoding/binary"

const (
	history  = 32 << 10 // bytes that a match may reach back (RFC 1951, section 2)
	maxMatch = 258      // bytes of the longest match

	winMask = 1<<18 - 1 // of positions in the window
	// overshoot is how far a copy may write beyond its end: two words and one of widen, for
	// a match of three bytes.
	overshoot = 3 * wordSize
	// winFull is where decoding stops until there is another buffer: an iteration of the fast
	// loop that begins before it ends below the mask.
	winFull = winMask + 1 - literalsPerTurn - maxMatch - overshoot
)

// Buffer is the memory that [Reader.Next] decodes into.
type Buffer [winMask + 1 + overshoot]byte

// window is where the output goes: a buffer of the caller, which begins with the history that
// matches may refer to.
type window struct {
	out   *Buffer // nil between two calls of Next
	next  uint    // in out, where the next byte goes
	first uint    // in out, start of the member, as far as the window has it
	past  [history]byte
}

// attach begins to write to b, after a copy of the history. It returns where the output
// begins.
func (w *window) attach(b *Buffer) uint {
	copy(b[:], w.past[:w.next])
	w.out = b
	return w.next
}

// detach leaves the buffer to the caller and keeps a copy of the history.
func (w *window) detach() {
	from := w.next - min(w.next, history)
	w.next = uint(copy(w.past[:], w.out[from:w.next]))
	w.first -= min(w.first, from)
	w.out = nil
}

// copyMatch appends length bytes from distance bytes back, which the window has. The ranges
// may overlap: a distance of 1 repeats the last byte (RFC 1951, section 3.2.3).
func (w *window) copyMatch(distance, length uint) {
	to, end := w.next, w.next+length
	from := to - distance
	if distance < wordSize {
		to = w.out.widen(from, to)
	}
	for ; to < end; to, from = to+wordSize, from+wordSize {
		w.out.copyWord(to, from)
	}
	w.next = end
}

// widen repeats the bytes of [from, to), fewer than 8, until there are at least 8, and
// returns the new end. Each step doubles them.
func (b *Buffer) widen(from, to uint) uint {
	for to-from < wordSize {
		b.copyWord(to, from)
		to += to - from
	}
	return to
}

// copyWord copies 8 bytes.
func (b *Buffer) copyWord(to, from uint) {
	word := binary.LittleEndian.Uint64(b[from&winMask:][:wordSize])
	binary.LittleEndian.PutUint64(b[to&winMask:][:wordSize], word)
}
