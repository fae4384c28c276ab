package inflate

import (
	"bytes"
	"fmt"
	"io"
	"testing"
)

// chain is a code of n symbols of which those listed get lengths from 1 on; the last two
// are equally long, so that it is complete.
func chain(n int, symbols ...int) []uint8 {
	lengths := make([]uint8, n)
	for i, symbol := range symbols {
		lengths[symbol] = uint8(min(i+1, len(symbols)-1))
	}
	return lengths
}

// widest returns DEFLATE data of which each iteration of the fast loop uses as many bits as
// possible: matches of 48 bits and literals of 11, after a stored block that the matches
// refer to.
func widest(turns int) []byte {
	literals := chain(maxLiterals, 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'a', endOfBlock, 'l', 'm', 284, 'n')
	distances := chain(maxDistances, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 29, 14)
	literalCodes, distanceCodes := canonical(literals), canonical(distances)
	return deflate(func(w *bitWriter) {
		w.bits(0, 3+5)
		w.bits(history, 16)
		w.bits(^uint(history), 16)
		for _, b := range noise(history) {
			w.bits(uint(b), 8)
		}
		w.bits(0b101, 3)
		w.bits(maxLiterals-257, 5)
		w.bits(maxDistances-1, 5)
		w.bits(lengthCodes-4, 4)
		for _, symbol := range lengthOrder { // 4 bits for each length, and no repeats
			w.bits(map[bool]uint{true: 4}[symbol < repeatLast], 3)
		}
		for _, n := range append(literals, distances...) {
			w.code(uint(n), 4)
		}
		symbol := func(s int) { w.code(literalCodes[s], uint(literals[s])) }
		for i := range turns {
			symbol(284)
			w.bits(uint(i)%31, 5)
			w.code(distanceCodes[29], uint(distances[29]))
			w.bits(uint(i*37)%8192, 13)
			for range i % (literalsPerTurn + 1) {
				symbol('a')
			}
			if i%7 == 0 {
				symbol('n') // of 15 bits
			}
		}
		symbol(endOfBlock)
	})
}

// TestWidestTurns lets the input end at every distance from where a turn begins: none
// may look at what is not there yet.
func TestWidestTurns(t *testing.T) {
	stream := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, widest(1000)...)
	content, v := theirs(bytes.NewReader(stream))
	if v != cut || len(content) < 200_000 {
		t.Fatalf("%d bytes, %s", len(content), v)
	}
	stream = member(stream[10:], content)
	same(t, "valid", stream)
	for size := 1; size <= 3*wordSize; size++ {
		if got, v := ours(pieces{bytes.NewReader(stream), size}); v != valid || !bytes.Equal(got, content) {
			t.Errorf("pieces of %d: %d bytes, %s", size, len(got), v)
		}
	}
	for n := len(stream) - 60; n < len(stream); n++ {
		same(t, fmt.Sprint("cut at ", n), stream[:n])
	}
}

// pieces returns size bytes at a time.
type pieces struct {
	r    io.Reader
	size int
}

func (p pieces) Read(b []byte) (int, error) { return p.r.Read(b[:min(len(b), p.size)]) }
