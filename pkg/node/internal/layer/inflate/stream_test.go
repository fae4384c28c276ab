package inflate

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"strings"
	"testing"
)

// bitWriter writes DEFLATE data bit by bit.
type bitWriter struct {
	out  []byte
	have uint // bits in the last byte
}

// bits writes the lowest n bits of v, the lowest first, as numbers are.
func (w *bitWriter) bits(v, n uint) {
	for i := range n {
		if w.have%8 == 0 {
			w.out = append(w.out, 0)
		}
		w.out[len(w.out)-1] |= byte(v>>i&1) << (w.have % 8)
		w.have++
	}
}

// code writes a code of n bits, the highest first.
func (w *bitWriter) code(v, n uint) { w.bits(reverse(v, n), n) }

// literal writes a symbol with the fixed code (RFC 1951, section 3.2.6).
func (w *bitWriter) literal(symbol uint) {
	switch {
	case symbol < 144:
		w.code(0x30+symbol, 8)
	case symbol < 256:
		w.code(0x190+symbol-144, 9)
	case symbol < 280:
		w.code(symbol-256, 7)
	default:
		w.code(0xc0+symbol-280, 8)
	}
}

// deflate makes the data of a member.
func deflate(write func(*bitWriter)) []byte {
	var w bitWriter
	write(&w)
	return w.out
}

// member makes a gzip member of DEFLATE data and what it is said to hold.
func member(data, content []byte) []byte {
	b := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, data...)
	b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(content))
	return binary.LittleEndian.AppendUint32(b, uint32(len(content)))
}

// withHeaderSum adds the checksum of the header to a member that has a name, a comment
// and an extra field.
func withHeaderSum(b []byte) []byte {
	end := 12 + int(binary.LittleEndian.Uint16(b[10:]))
	for range 2 {
		end += bytes.IndexByte(b[end:], 0) + 1
	}
	head := bytes.Clone(b[:end])
	head[3] |= hasHeaderSum
	head = binary.LittleEndian.AppendUint16(head, uint16(crc32.ChecksumIEEE(head)))
	return append(head, b[end:]...)
}

// block is DEFLATE data that no compressor writes.
type block struct {
	name    string
	data    []byte
	content string
	want    verdict
}

// goodBlocks are blocks that break no rule.
func goodBlocks() []block {
	// match258 is "a" and a match of 258 with a distance of 1 (symbol 285, code 0).
	match258 := func(w *bitWriter) {
		w.bits(0b011, 3)
		w.literal('a')
		w.literal(285)
		w.code(0, 5)
		w.literal(endOfBlock)
	}
	return []block{
		{"empty fixed block", deflate(func(w *bitWriter) { w.bits(0b011, 3); w.literal(endOfBlock) }), "", valid},
		{"empty stored block", []byte{1, 0, 0, 0xff, 0xff}, "", valid},
		{"many empty blocks", deflate(func(w *bitWriter) {
			for range 5000 {
				w.bits(0b010, 3)
				w.literal(endOfBlock)
			}
			w.bits(0b011, 3)
			w.literal(endOfBlock)
		}), "", valid},
		{"longest match", deflate(match258), strings.Repeat("a", 259), valid},
		{"length 258 in two ways", deflate(func(w *bitWriter) {
			w.bits(0b011, 3)
			w.literal('a')
			w.literal(284) // 227 and 5 bits: 31 is 258 as well
			w.bits(31, 5)
			w.code(0, 5)
			w.literal(endOfBlock)
		}), strings.Repeat("a", 259), valid},
	}
}

// badBlocks are blocks that break one.
func badBlocks() []block {
	return []block{
		{"distance before the start", deflate(func(w *bitWriter) {
			w.bits(0b011, 3)
			w.literal('a')
			w.literal(257)
			w.code(1, 5)
		}), "a", corrupt},
		{"first of the lengths that are none", deflate(func(w *bitWriter) { w.bits(0b011, 3); w.literal('a'); w.literal(286); w.bits(0, 40) }), "a", corrupt},
		{"second", deflate(func(w *bitWriter) { w.bits(0b011, 3); w.literal('a'); w.literal(287); w.bits(0, 40) }), "a", corrupt},
		{"distance that is none", deflate(func(w *bitWriter) {
			w.bits(0b011, 3)
			w.literal('a')
			w.literal(257)
			w.code(30, 5)
			w.bits(0, 40)
		}), "a", corrupt},
		{"type 3", []byte{0b111}, "", corrupt},
		{"stored length and its complement differ", []byte{1, 1, 0, 0xff, 0xff, 'x'}, "", corrupt},
		{"too many literals", deflate(func(w *bitWriter) { w.bits(0b101, 3); w.bits(30, 5); w.bits(0, 60) }), "", corrupt},
		{"too many distances", deflate(func(w *bitWriter) { w.bits(0b101, 3); w.bits(0, 5); w.bits(30, 5); w.bits(0, 60) }), "", corrupt},
		{"no code of code lengths", deflate(func(w *bitWriter) { w.bits(0b101, 3); w.bits(0, 14); w.bits(0, 60) }), "", corrupt},
		{"repeat before the first", deflate(func(w *bitWriter) {
			w.bits(0b101, 3)
			w.bits(0, 14)
			for _, n := range []uint{1, 1, 0, 0} { // 16, 17, 18, 0
				w.bits(n, 3)
			}
			w.bits(0, 60)
		}), "", corrupt},
		{"repeat beyond the last", deflate(func(w *bitWriter) {
			w.bits(0b101, 3)
			w.bits(0, 14)
			for _, n := range []uint{0, 1, 1, 0} {
				w.bits(n, 3)
			}
			w.code(1, 1)
			w.bits(127, 7) // 138
			w.code(1, 1)
			w.bits(127, 7) // 276, of 258
			w.bits(0, 60)
		}), "", corrupt},
	}
}

func TestBlocks(t *testing.T) {
	for _, tt := range append(goodBlocks(), badBlocks()...) {
		t.Run(tt.name, func(t *testing.T) {
			// Input in front of the end is for the fast loop, the end for the careful one.
			for _, behind := range []int{0, 100} {
				stream := member(tt.data, []byte(tt.content))
				if tt.want != valid {
					stream = append(stream, make([]byte, behind)...)
				} else if behind > 0 {
					stream = append(stream, member([]byte{3, 0}, nil)...)
				}
				if v, n := same(t, tt.name, stream); v != tt.want || n != len(tt.content) {
					t.Errorf("%d bytes, %s; want %d, %s", n, v, len(tt.content), tt.want)
				}
			}
		})
	}
}

// TestDistances goes through all distances that matter and their neighbours: the farthest
// is 32768, and never before the start of the member.
func TestDistances(t *testing.T) {
	const start = 40_000
	symbol := func(distance uint) (code, extra, bits uint) {
		for i, e := range distanceSymbols[:maxDistances] {
			if base, n := e.value(0), e.size(); distance >= base && distance < base+1<<n {
				return uint(i), distance - base, n
			}
		}
		t.Fatalf("no symbol for distance %d", distance)
		return 0, 0, 0
	}
	content := noise(winFull)
	for _, have := range []int{32766, 32767, 32768, 32769, start} {
		for _, distance := range []uint{1, 2, 7, 8, 9, 15, 16, 17, 257, 258, 32766, 32767, 32768} {
			data := deflate(func(w *bitWriter) {
				w.bits(0, 3)
				w.bits(0, 5)
				w.bits(uint(have), 16)
				w.bits(^uint(have), 16)
				for _, b := range content[:have] {
					w.bits(uint(b), 8)
				}
				w.bits(0b011, 3)
				w.literal(285)
				code, extra, n := symbol(distance)
				w.code(code, 5)
				w.bits(extra, n)
				w.literal(endOfBlock)
			})
			want, n := valid, have+maxMatch
			if distance > uint(have) {
				want, n = corrupt, have
			}
			full := bytes.Clone(content[:have])
			for range maxMatch {
				full = append(full, full[max(0, len(full)-int(distance))])
			}
			// After another member: its bytes are not the history of this one, also when the
			// window moves on between the two.
			for _, before := range []int{100, winFull - 20_000} {
				stream := append(compressed(t, 0, content[:before]), member(data, full)...)
				if v, got := same(t, "distance", stream); v != want || got != before+n {
					t.Errorf("distance %d after %d bytes: %d bytes, %s; want %d, %s", distance, have, got, v, before+n, want)
				}
			}
		}
	}
}

// TestHeaders reads headers that other programs write.
func TestHeaders(t *testing.T) {
	body := member([]byte{3, 0}, nil)[10:]
	for name, tt := range map[string]struct {
		flags  byte
		fields string
		want   verdict
	}{
		"plain":                {0, "", valid},
		"text":                 {1, "", valid},
		"reserved flags":       {0xe0, "", valid},
		"name":                 {hasName, "name\x00", valid},
		"name of 511 bytes":    {hasName, strings.Repeat("n", 511) + "\x00", valid},
		"name of 512 bytes":    {hasName, strings.Repeat("n", 512) + "\x00", header},
		"comment of 512 bytes": {hasComment, strings.Repeat("n", 512) + "\x00", header},
		"extra":                {hasExtra, "\x03\x00abc", valid},
		"longest extra":        {hasExtra, "\xff\xff" + strings.Repeat("x", 65535), valid},
		"empty of all":         {hasExtra | hasName | hasComment, "\x00\x00\x00\x00", valid},
		"wrong checksum":       {hasHeaderSum, "\x00\x00", header},
	} {
		stream := append([]byte{0x1f, 0x8b, 8, tt.flags, 0, 0, 0, 0, 0, 3}, tt.fields...)
		if v, _ := same(t, name, append(stream, body...)); v != tt.want {
			t.Errorf("%s: %s, want %s", name, v, tt.want)
		}
	}
	for _, start := range []string{"\x1f", "\x1f\x8c\x08", "\x1f\x8b\x07", "PK\x03\x04"} {
		same(t, start, []byte(start))
		same(t, start, append([]byte(start), make([]byte, 20)...))
	}
}
