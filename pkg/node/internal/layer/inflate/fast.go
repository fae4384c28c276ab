package inflate

const (
	// literalsPerTurn is how many literals one iteration of the fast loop decodes at most.
	literalsPerTurn = 4
	// inputPerTurn is how many bytes it reads: two words, of which the second begins at most
	// 7 bytes after the first.
	inputPerTurn = 7 + wordSize
)

// fast decodes while a complete iteration of its loop stays within the buffered input and
// below the mask of the window. It reports whether the block has ended.
//
// An iteration begins with at least 56 bits. A literal of the first table has at most 11; a
// match at most 48: 15 of the length's code and 5 extra bits, 15 of the distance's and 13
// extra bits. So four literals fit, or a match, but a match after a literal needs a refill
// first.
//
// It is one function with the first literals unrolled, so that the variables stay in
// registers; all calls but that of widen are inlined. Only the lowest 6 bits of have count
// here: an entry has its size in the lowest bits, and subtracting all of it saves a mask.
func (d *decoder) fast() (done bool, err error) {
	bits, have, pos, next := d.bits, uint64(d.have), d.pos, d.next
	out, last := d.out, d.end-inputPerTurn
	for pos <= last && next < winFull {
		bits, have, pos = d.more(bits, have, pos)
		e := d.literal[bits&(1<<literalBits-1)]
		if e&isLiteral != 0 {
			next = out.put(next, e)
			bits, have = drop(bits, have, e)
			e = d.literal[bits&(1<<literalBits-1)]
			if e&isLiteral != 0 {
				next = out.put(next, e)
				bits, have = drop(bits, have, e)
				e = d.literal[bits&(1<<literalBits-1)]
				if e&isLiteral != 0 {
					next = out.put(next, e)
					bits, have = drop(bits, have, e)
					e = d.literal[bits&(1<<literalBits-1)]
					if e&isLiteral != 0 {
						next = out.put(next, e)
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
				next = out.put(next, e)
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
			next = out.widen(from, next)
		}
		for {
			out.copyWord(next, from)
			out.copyWord(next+wordSize, from+wordSize)
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

// more refills the bits to at least 56.
func (in *input) more(bits, have uint64, pos uint) (uint64, uint64, uint) {
	return bits | in.load(pos)<<(have&63), have | 56, pos + uint(^have>>3)&7
}

// drop skips the bits of an entry.
func drop(bits, have uint64, e entry) (uint64, uint64) {
	return bits >> (e & entryBits), have - uint64(e)
}

// put writes a literal and returns the position after it.
func (b *Buffer) put(next uint, e entry) uint {
	b[next&winMask] = byte(e >> valueShift)
	return next + 1
}
