package inflate

import "math/bits"

// entry is what a table has for a sequence of bits, from the lowest bit:
//
//	bits  0- 5  number of bits of the code and its extra bits
//	bits  8-11  number of bits of the code
//	bit  13     special: bit 14, bit 15, or else an invalid code
//	bit  14     a link to a second table
//	bit  15     the end of the block
//	bits 16-30  the literal, the length or distance without its extra bits, or the
//	            start of the second table
//	bit  31     it is a literal
type entry uint32

const (
	isLiteral entry = 1 << 31
	isSpecial entry = 1 << 13
	isLink    entry = 1 << 14
	isEnd     entry = 1 << 15
	invalid         = isSpecial // no code, or one without a meaning

	entryBits  = 1<<6 - 1 // mask of the number of bits
	codeShift  = 8
	codeMask   = 15
	valueShift = 16
)

const (
	maxCode = 15 // bits of the longest code

	literalBits  = 11 // of the first table of literals and lengths
	distanceBits = 9  // of the first table of distances
	lengthBits   = 7  // of the table of code lengths, which needs no second one

	maxLiterals  = 286 // codes of literals and lengths with a meaning
	maxDistances = 30  // codes of distances with a meaning
	allLiterals  = 288 // with the two that only the fixed code has
	allDistances = 32  // likewise
	lengthCodes  = 19

	endOfBlock = 256

	// A second table has the codes that begin with the same bits. These are at least two,
	// so there is at most one table per two codes.
	literalTable  = 1<<literalBits + (allLiterals/2)<<(maxCode-literalBits)
	distanceTable = 1<<distanceBits + (allDistances/2)<<(maxCode-distanceBits)
	lengthTable   = 1 << lengthBits
)

// The lengths and distances without their extra bits (RFC 1951, section 3.2.5), as
// entries of codes without bits.
var (
	literalSymbols  = makeLiteralSymbols()
	distanceSymbols = makeDistanceSymbols()
	lengthSymbols   = makeLengthSymbols()
)

// makeLiteralSymbols returns the entries of literals, the end of a block and lengths.
// Groups of four lengths share their number of extra bits, which grows by one from group
// to group; 258 has a separate code.
func makeLiteralSymbols() (all [allLiterals]entry) {
	for i := range all {
		all[i] = invalid
	}
	for i := range endOfBlock {
		all[i] = isLiteral | entry(i)<<valueShift
	}
	all[endOfBlock] = isSpecial | isEnd
	length := entry(3)
	for i := range 28 {
		extra := entry(max(0, i/4-1))
		all[endOfBlock+1+i] = length<<valueShift | extra
		length += 1 << extra
	}
	all[maxLiterals-1] = maxMatch << valueShift
	return all
}

// makeDistanceSymbols returns those of distances, where a group has two.
func makeDistanceSymbols() (all [allDistances]entry) {
	distance := entry(1)
	for i := range maxDistances {
		extra := entry(max(0, i/2-1))
		all[i] = distance<<valueShift | extra
		distance += 1 << extra
	}
	for i := maxDistances; i < allDistances; i++ {
		all[i] = invalid
	}
	return all
}

// makeLengthSymbols returns those of the lengths of codes, which are plain numbers.
func makeLengthSymbols() (all [lengthCodes]entry) {
	for i := range all {
		all[i] = entry(i) << valueShift
	}
	return all
}

// coded returns the entry of a symbol whose code has the given number of bits.
func (e entry) coded(length uint) entry {
	return e + entry(length)<<codeShift + entry(length)
}

// size returns the number of bits of the code and its extra bits.
func (e entry) size() uint { return uint(e & entryBits) }

// code returns the number of bits of the code.
func (e entry) code() uint { return uint(e >> codeShift & codeMask) }

// second returns the position in the second table that a link refers to.
func (e entry) second(bits uint64, rootBits uint) uint {
	return uint(e>>valueShift) + uint(bits>>rootBits)&(1<<(maxCode-rootBits)-1)
}

// value returns the length or distance at the start of the bits.
func (e entry) value(bits uint64) uint {
	extra := bits & (1<<(e&entryBits) - 1) >> (e >> codeShift & codeMask)
	return uint(e>>valueShift) + uint(extra)
}

// builder builds tables from the lengths of codes.
type builder struct {
	count  [maxCode + 1]uint16 // of codes of each length
	next   [maxCode + 1]uint16 // where in sorted the next symbol of a length goes
	sorted [allLiterals]uint16 // symbols by the length of their code, then by number
}

// build fills a table for the canonical Huffman code (RFC 1951, section 3.2.2) with the given
// lengths, of symbols with the given entries. It refuses codes that are ambiguous or leave
// combinations unused, with two exceptions: no code at all, and one code of one bit, which
// the RFC allows for distances and compress/gzip everywhere.
func (b *builder) build(table []entry, rootBits uint, lengths []uint8, symbols []entry) bool {
	if !b.sort(lengths) {
		return false
	}
	table[0] = invalid // remains if there is only a code of one bit, or none
	sorted, code, filled := b.sorted[:], uint(0), uint(1)
	for length := uint(1); length <= rootBits; length++ {
		// A code begins with the lowest bit of an index. So the table for one more bit is
		// the previous one, twice, with the codes of that length added.
		copy(table[filled:2*filled], table[:filled])
		filled *= 2
		for _, symbol := range sorted[:b.count[length]] {
			table[reverse(code, length)] = symbols[symbol].coded(length)
			code++
		}
		sorted = sorted[b.count[length]:]
		code *= 2
	}
	b.buildSecond(table, rootBits, sorted, code, symbols)
	return true
}

// buildSecond adds the codes that are longer than the index of the first table, beginning
// with code, which has one bit more. Their symbols come first in sorted.
func (b *builder) buildSecond(table []entry, rootBits uint, sorted []uint16, code uint, symbols []entry) {
	const none = 1 << maxCode
	secondBits := maxCode - rootBits
	last, start, end := uint(none), uint(0), uint(1)<<rootBits
	for length := rootBits + 1; length <= maxCode; length++ {
		extra := length - rootBits
		for _, symbol := range sorted[:b.count[length]] {
			if prefix := code >> extra; prefix != last {
				last, start, end = prefix, end, end+1<<secondBits
				table[reverse(prefix, rootBits)] = isSpecial | isLink | entry(start)<<valueShift
			}
			e := symbols[symbol].coded(length)
			for i := reverse(code&(1<<extra-1), extra); i < 1<<secondBits; i += 1 << extra {
				table[start+i] = e
			}
			code++
		}
		sorted = sorted[b.count[length]:]
		code *= 2
	}
}

// sort counts the lengths and sorts the symbols by them. It reports whether they form a code.
func (b *builder) sort(lengths []uint8) bool {
	clear(b.count[:])
	for _, n := range lengths {
		b.count[n]++
	}
	codes := len(lengths) - int(b.count[0])
	free, place := 1, uint16(0) // free combinations of the bits so far
	for length := 1; length <= maxCode; length++ {
		free = 2*free - int(b.count[length])
		if free < 0 {
			return false
		}
		b.next[length] = place
		place += b.count[length]
	}
	for symbol, n := range lengths {
		if n > 0 {
			b.sorted[b.next[n]] = uint16(symbol)
			b.next[n]++
		}
	}
	return free == 0 || codes == 0 || codes == 1 && b.count[1] == 1
}

// reverse reverses the lowest n bits: codes begin with their highest bit
// (RFC 1951, section 3.1.1).
func reverse(code, n uint) uint {
	return uint(bits.Reverse16(uint16(code)) >> (16 - n))
}
