package inflate

import "fmt"

// The types of blocks (RFC 1951, section 3.2.3).
const (
	stored = iota
	fixed
	dynamic
)

// lengthOrder is the order in which the lengths of the codes for code lengths come
// (RFC 1951, section 3.2.7).
var lengthOrder = [lengthCodes]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// fixedLengths are those of the fixed code (RFC 1951, section 3.2.6), of literals and of
// distances.
var fixedLengths = func() (all [allLiterals + allDistances]uint8) {
	set := func(from, to int, length uint8) {
		for i := from; i < to; i++ {
			all[i] = length
		}
	}
	set(0, 144, 8)
	set(144, 256, 9)
	set(256, 280, 7)
	set(280, allLiterals, 8)
	set(allLiterals, len(all), 5)
	return all
}()

// block reads the header of a block (RFC 1951, section 3.2.3) and prepares for its content.
func (d *decoder) block() error {
	header, err := d.take(3)
	if err != nil {
		return err
	}
	d.last = header&1 == 1
	switch header >> 1 {
	case stored:
		return d.storedBlock()
	case fixed:
		d.state = inHuffman
		if !d.fixed { // a stream may have one at every other byte
			d.fixed = d.build(fixedLengths[:], allLiterals)
		}
		return nil
	case dynamic:
		d.state, d.fixed = inHuffman, false
		return d.dynamicBlock()
	}
	return fmt.Errorf("block of type 3: %w", ErrCorrupt)
}

// storedBlock reads the length of an uncompressed block (RFC 1951, section 3.2.4).
func (d *decoder) storedBlock() error {
	d.align()
	length, err := d.take(16)
	if err != nil {
		return err
	}
	check, err := d.take(16)
	if err != nil {
		return err
	}
	if length != check^0xffff {
		return fmt.Errorf("length of a stored block: %w", ErrCorrupt)
	}
	d.left, d.state = length, inStored
	return nil
}

// copyStored copies the rest of a stored block, or as much as the window has room for.
func (d *decoder) copyStored() error {
	room := d.out[d.next : d.next+min(d.left, winFull-d.next)]
	n, err := d.read(room)
	d.next += uint(n)
	if d.left -= uint(n); d.left == 0 {
		d.endBlock()
	}
	return err
}

// dynamicBlock reads the codes of a block with dynamic codes (RFC 1951, section 3.2.7).
func (d *decoder) dynamicBlock() error {
	counts, err := d.take(5 + 5 + 4)
	if err != nil {
		return err
	}
	literals, distances, lengths := counts&31+257, counts>>5&31+1, counts>>10+4
	if literals > maxLiterals || distances > maxDistances {
		return fmt.Errorf("number of codes: %w", ErrCorrupt)
	}
	var own [lengthCodes]uint8
	for _, symbol := range lengthOrder[:lengths] {
		n, err := d.take(3)
		if err != nil {
			return err
		}
		own[symbol] = uint8(n)
	}
	if !d.builder.build(d.length[:], lengthBits, own[:], lengthSymbols[:]) {
		return fmt.Errorf("code of code lengths: %w", ErrCorrupt)
	}
	var all [maxLiterals + maxDistances]uint8
	if err := d.codeLengths(all[:literals+distances]); err != nil {
		return err
	}
	if !d.build(all[:literals+distances], literals) {
		return fmt.Errorf("code: %w", ErrCorrupt)
	}
	return nil
}

// repeatLast is the symbol among code lengths that repeats the last one. A count follows it
// and the next two, which repeat zero (RFC 1951, section 3.2.7).
const repeatLast = 16

// repeats are the base and the number of extra bits of these counts.
var repeats = [...]struct{ least, bits uint }{{3, 2}, {3, 3}, {11, 7}}

// codeLengths reads the lengths of the codes of literals and distances, which are one list.
func (d *decoder) codeLengths(all []uint8) error {
	for i := uint(0); i < uint(len(all)); {
		e, err := d.symbol(d.length[:], lengthBits)
		if err != nil {
			return err
		}
		d.drop(e.size())
		symbol := uint8(e.value(0))
		if symbol < repeatLast {
			all[i] = symbol
			i++
			continue
		}
		if symbol == repeatLast && i == 0 {
			return fmt.Errorf("repeated length without a first one: %w", ErrCorrupt)
		}
		r := repeats[symbol-repeatLast]
		times, err := d.take(r.bits)
		if err != nil {
			return err
		}
		times += r.least
		if times > uint(len(all))-i {
			return fmt.Errorf("number of code lengths: %w", ErrCorrupt)
		}
		if symbol == repeatLast {
			for k := range times {
				all[i+k] = all[i-1]
			}
		}
		i += times
	}
	return nil
}

// build builds the tables of a block from the lengths of its codes, those of literals first.
func (d *decoder) build(lengths []uint8, literals uint) bool {
	d.endBits = uint(lengths[endOfBlock])
	return d.builder.build(d.literal[:], literalBits, lengths[:literals], literalSymbols[:]) &&
		d.builder.build(d.distance[:], distanceBits, lengths[literals:], distanceSymbols[:])
}

// endBlock sets the state after a block.
func (d *decoder) endBlock() {
	d.state = atBlock
	if d.last {
		d.align()
		d.state = atTrailer
	}
}
