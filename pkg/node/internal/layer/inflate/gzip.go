package inflate

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// The flags of a header (RFC 1952, section 2.3.1). According to the RFC a reader must refuse
// the other bits; compress/gzip, and so containerd, does not.
const (
	hasHeaderSum = 1 << 1
	hasExtra     = 1 << 2
	hasName      = 1 << 3
	hasComment   = 1 << 4
)

// maxText limits a name or comment, in bytes including the zero at its end, as compress/gzip
// does.
const maxText = 512

// header reads the header of a member (RFC 1952, section 2.3). It returns io.EOF if the
// source ends before it.
func (d *decoder) header() error {
	d.crc = 0
	if d.have == 0 {
		if d.fill(1); d.pos == d.end && d.err == io.EOF {
			return io.EOF
		}
	}
	fixed, err := d.field(10)
	if err != nil {
		return err
	}
	if fixed[0] != 0x1f || fixed[1] != 0x8b || fixed[2] != 8 {
		return ErrHeader
	}
	flags := fixed[3]
	if flags&hasExtra != 0 {
		if err := d.extra(); err != nil {
			return err
		}
	}
	for _, flag := range []byte{hasName, hasComment} {
		if flags&flag != 0 {
			if err := d.text(); err != nil {
				return err
			}
		}
	}
	if sum := uint16(d.crc); flags&hasHeaderSum != 0 {
		want, err := d.field(2)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(want) != sum {
			return ErrHeader
		}
	}
	d.state, d.first = atBlock, d.next
	d.crc, d.size, d.summed = 0, 0, d.next
	return nil
}

// field reads n bytes of a header, at most 10, and adds them to the checksum. They are valid
// until the next call.
func (d *decoder) field(n int) ([]byte, error) {
	b := d.bytes[:n]
	_, err := d.read(b)
	d.crc = crc32.Update(d.crc, crc32.IEEETable, b)
	return b, err
}

// extra skips the extra field.
func (d *decoder) extra() error {
	size, err := d.field(2)
	for left := binary.LittleEndian.Uint16(size); err == nil && left > 0; left-- {
		_, err = d.field(1)
	}
	return err
}

// text skips a name or a comment.
func (d *decoder) text() error {
	for range maxText {
		b, err := d.field(1)
		if err != nil || b[0] == 0 {
			return err
		}
	}
	return ErrHeader
}

// account adds the new output to the checksum and the size.
func (d *decoder) account() {
	fresh := d.out[d.summed:d.next]
	d.crc = crc32.Update(d.crc, crc32.IEEETable, fresh)
	d.size += uint32(len(fresh)) // the trailer has it modulo 2^32 as well
	d.summed = d.next
}

// trailer checks the checksum and the size of the member (RFC 1952, section 2.3.1).
func (d *decoder) trailer() error {
	d.account()
	want := d.bytes[:8]
	if _, err := d.read(want); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(want) != d.crc || binary.LittleEndian.Uint32(want[4:]) != d.size {
		return ErrChecksum
	}
	d.state = atHeader
	return nil
}
