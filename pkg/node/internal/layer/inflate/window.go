package inflate

import "encoding/binary"

const (
	history  = 32 << 10 // bytes that a match may reach back (RFC 1951, section 2)
	maxMatch = 258      // bytes of the longest match

	winMask = 1<<18 - 1 // of positions in the window
	// overshoot is how far a copy may write beyond its end: two words and one of widen, for
	// a match of three bytes.
	overshoot = 3 * wordSize
	// winFull is where decoding stops until the window is emptied: an iteration of the fast
	// loop that begins before it ends below the mask.
	winFull = winMask + 1 - literalsPerTurn - maxMatch - overshoot
)

// window holds the output: up to 32 KiB of history that matches may refer to, then the new
// output.
type window struct {
	next    uint // where the next byte goes
	first   uint // start of the member, as far as the window has it
	flushed uint // end of the output that the caller has read
	out     [winMask + 1 + overshoot]byte
}

// makeRoom moves the history to the front when the window is full. The caller has read all
// output.
func (w *window) makeRoom() {
	if w.next < winFull {
		return
	}
	from := w.next - history
	copy(w.out[:], w.out[from:w.next])
	w.first -= min(w.first, from)
	w.next, w.flushed = history, history
}

// copyMatch appends length bytes from distance bytes back, which the window has. The ranges
// may overlap: a distance of 1 repeats the last byte (RFC 1951, section 3.2.3).
func (w *window) copyMatch(distance, length uint) {
	to, end := w.next, w.next+length
	from := to - distance
	if distance < wordSize {
		to = w.widen(from, to)
	}
	for ; to < end; to, from = to+wordSize, from+wordSize {
		w.copyWord(to, from)
	}
	w.next = end
}

// widen repeats the bytes of [from, to), fewer than 8, until there are at least 8, and
// returns the new end. Each step doubles them.
func (w *window) widen(from, to uint) uint {
	for to-from < wordSize {
		w.copyWord(to, from)
		to += to - from
	}
	return to
}

// copyWord copies 8 bytes.
func (w *window) copyWord(to, from uint) {
	word := binary.LittleEndian.Uint64(w.out[from&winMask:][:wordSize])
	binary.LittleEndian.PutUint64(w.out[to&winMask:][:wordSize], word)
}
