package inflate

// careful decodes near the end of the source, symbol by symbol. It reports whether the block
// has ended.
func (d *decoder) careful() (done bool, err error) {
	for d.next < winFull {
		// The end of the block must follow, so fewer bits than its code has are too few for
		// any code.
		if d.top(); d.have < d.endBits {
			return false, d.ended()
		}
		e, err := d.symbol(d.literal[:], literalBits)
		switch {
		case err != nil:
			return false, err
		case e&isLiteral != 0:
			d.drop(e.size())
			d.out[d.next&winMask] = byte(e >> valueShift)
			d.next++
			continue
		case e&isEnd != 0:
			d.drop(e.size())
			return true, nil
		}
		length, err := d.value(e)
		if err != nil {
			return false, err
		}
		if e, err = d.symbol(d.distance[:], distanceBits); err != nil {
			return false, err
		}
		distance, err := d.value(e)
		if err != nil {
			return false, err
		}
		if distance > d.next-d.first {
			return false, errDistance
		}
		d.copyMatch(distance, length)
	}
	return false, nil
}

// symbol looks up the next code, which must be complete, and leaves it in the bit buffer.
func (d *decoder) symbol(table []entry, rootBits uint) (entry, error) {
	d.top()
	e := table[d.bits&(1<<rootBits-1)]
	if e&isLink != 0 {
		e = table[e.second(d.bits, rootBits)]
	}
	if e.code() > d.have {
		return 0, d.ended()
	}
	if e&isSpecial != 0 && e&isEnd == 0 {
		return 0, errCode
	}
	return e, nil
}

// value removes a code with its extra bits and returns the length or distance.
func (d *decoder) value(e entry) (uint, error) {
	if e.size() > d.have {
		return 0, d.ended()
	}
	v := e.value(d.bits)
	d.drop(e.size())
	return v, nil
}
