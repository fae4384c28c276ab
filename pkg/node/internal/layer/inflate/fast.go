package inflate

const (
	// literalsPerTurn is how many literals a turn of the fast loop takes at most.
	literalsPerTurn = 4
	// inputPerTurn is how many bytes it looks at: two words, of which the second
	// begins at most 7 bytes behind the first.
	inputPerTurn = 7 + wordSize
)

// fast decodes while a whole turn of its loop stays within the input that is there and
// below the mask of the window. It tells whether the block has ended.
//
// At least 56 bits are there when a turn begins. A literal of the first table takes at
// most 11; a match at most 48: 15 of the length's code and 5 more, 15 of the distance's
// and 13 more. So four literals fit, or a match, but a match behind a literal needs more
// input first.
//
// It is one function, and the first literals are written out, so that the variables stay
// in registers; what it calls is inlined, except for widen. Only the lowest 6 bits of have
// count here: sizes are the lowest of an entry, and subtracting all of it spares a mask.
func (d *decoder) fast() (done bool, err error) {
	bits, have, pos, next := d.bits, uint64(d.have), d.pos, d.next
	last := d.end - inputPerTurn
	for pos <= last && next < winFull {
		bits, have, pos = d.more(bits, have, pos)
		e := d.literal[bits&(1<<literalBits-1)]
		if e&isLiteral != 0 {
			next = d.put(next, e)
			bits, have = drop(bits, have, e)
			e = d.literal[bits&(1<<literalBits-1)]
			if e&isLiteral != 0 {
				next = d.put(next, e)
				bits, have = drop(bits, have, e)
				e = d.literal[bits&(1<<literalBits-1)]
				if e&isLiteral != 0 {
					next = d.put(next, e)
					bits, have = drop(bits, have, e)
					e = d.literal[bits&(1<<literalBits-1)]
					if e&isLiteral != 0 {
						next = d.put(next, e)
						bits, have = drop(bits, have, e)
						continue
					}
				}
			}
			bits, have, pos = d.more(bits, have, pos)
		}
		if e&isSpecial != 0 {
			if e&isLink != 0 {
				e = d.literal[e.second(bits, literalBits)]
			}
			if e&isLiteral != 0 {
				next = d.put(next, e)
				bits, have = drop(bits, have, e)
				continue
			}
			if e&isSpecial != 0 {
				if done = e&isEnd != 0; !done {
					err = errCode
				}
				bits, have = drop(bits, have, e)
				break
			}
		}
		end := next + e.value(bits)
		bits, have = drop(bits, have, e)
		e = d.distance[bits&(1<<distanceBits-1)]
		if e&isSpecial != 0 {
			if e&isLink != 0 {
				e = d.distance[e.second(bits, distanceBits)]
			}
			if e&isSpecial != 0 {
				err = errCode
				break
			}
		}
		distance := e.value(bits)
		bits, have = drop(bits, have, e)
		if distance > next-d.first {
			err = errDistance
			break
		}
		from := next - distance
		if distance < wordSize {
			next = d.widen(from, next)
		}
		for {
			d.copyWord(next, from)
			d.copyWord(next+wordSize, from+wordSize)
			next += 2 * wordSize
			from += 2 * wordSize
			if next >= end {
				break
			}
		}
		next = end
	}
	d.bits, d.have, d.pos, d.next = bits&(1<<(have&63)-1), uint(have&63), pos, next
	return done, err
}

// more tops the bits up to at least 56.
func (in *input) more(bits, have uint64, pos uint) (uint64, uint64, uint) {
	return bits | in.load(pos)<<(have&63), have | 56, pos + uint(^have>>3)&7
}

// drop passes over the bits of an entry.
func drop(bits, have uint64, e entry) (uint64, uint64) {
	return bits >> (e & entryBits), have - uint64(e)
}

// put writes a literal and gives the place behind it.
func (w *window) put(next uint, e entry) uint {
	w.out[next&winMask] = byte(e >> valueShift)
	return next + 1
}
