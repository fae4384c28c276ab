package registrytest

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"sort"
)

// Fill is the kind of generated file content. The same fill, seed and size always produce
// the same bytes.
type Fill int

// The kinds of generated content.
const (
	FillRandom Fill = iota // does not compress
	FillText               // compresses to about two fifths with gzip, like published images
	FillSparse             // zeros with a few random bytes every 64 KiB: cheap at any size
)

// fillBlock is the size of the blocks in which content is generated. Each has its own seed,
// so any of them can be generated alone. They are small because a read that starts or ends
// inside a block generates the whole block.
const fillBlock = 4 << 10

// sparseMark is the distance of the random bytes of FillSparse, in blocks.
const sparseMark = 16

// filler is generated content. It has no state.
type filler struct {
	fill Fill
	seed uint64
	size int64
}

// Size returns the length in bytes.
func (f *filler) Size() int64 { return f.size }

// ReadAt makes the bytes at off.
func (f *filler) ReadAt(p []byte, off int64) (int, error) {
	var block [fillBlock]byte
	n := 0
	for n < len(p) && off < f.size {
		i, skip := off/fillBlock, off%fillBlock
		want := min(int64(len(p)-n), fillBlock-skip, f.size-off)
		if want == fillBlock {
			f.make(i, p[n:n+fillBlock])
		} else {
			f.make(i, block[:])
			copy(p[n:int64(n)+want], block[skip:])
		}
		n += int(want)
		off += want
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// make fills one block.
func (f *filler) make(i int64, block []byte) {
	if f.fill == FillSparse && i%sparseMark != 0 {
		clear(block)
		return
	}
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], f.seed)
	binary.LittleEndian.PutUint64(key[8:], uint64(i))
	binary.LittleEndian.PutUint64(key[16:], uint64(f.fill))
	var r rand.ChaCha8 // not made by NewChaCha8, so that it can stay on the stack
	r.Seed(key)
	switch f.fill {
	case FillSparse:
		clear(block)
		_, _ = r.Read(block[:32]) // never fails
	case FillText:
		fillText(&r, block)
	default:
		_, _ = r.Read(block)
	}
}

// phrases are what FillText repeats between its random bytes.
var phrases = [...]string{
	"the quick harbour crane lifts one box  ", "containers stand in rows on the quay   ",
	"a tug waits for the tide to turn again ", "nobody counts the gulls on the breakwat",
}

// textLine is the length of a line of FillText, of which textNoise bytes are random.
const (
	textLine  = 64
	textNoise = 22
)

// fillText writes lines of a phrase and noise.
func fillText(r *rand.ChaCha8, block []byte) {
	for i := 0; i+textLine <= len(block); i += textLine {
		line := block[i : i+textLine]
		_, _ = r.Read(line[:textNoise])
		n := textNoise + copy(line[textNoise:], phrases[line[0]%byte(len(phrases))])
		for ; n < textLine; n++ {
			line[n] = '\n'
		}
	}
}

// seedOf makes a seed from names.
func seedOf(names ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, names...)
	return h.Sum64()
}

// concat is several contents one after the other.
type concat struct {
	parts []content
	ends  []int64 // offset behind each part
}

// append adds c at the end.
func (c *concat) append(part content) {
	if part.Size() == 0 {
		return
	}
	c.parts = append(c.parts, part)
	c.ends = append(c.ends, c.Size()+part.Size())
}

// Size returns the length in bytes.
func (c *concat) Size() int64 {
	if len(c.ends) == 0 {
		return 0
	}
	return c.ends[len(c.ends)-1]
}

// ReadAt reads across the parts.
func (c *concat) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for i := sort.Search(len(c.ends), func(i int) bool { return c.ends[i] > off }); n < len(p) && i < len(c.parts); i++ {
		start := c.ends[i] - c.parts[i].Size()
		want := min(int64(len(p)-n), c.ends[i]-off)
		m, err := c.parts[i].ReadAt(p[n:int64(n)+want], off-start)
		n += m
		off += int64(m)
		if int64(m) < want {
			return n, err
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
