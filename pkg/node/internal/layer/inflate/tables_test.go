package inflate

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestSymbols compares the computed tables with corners of those in RFC 1951, section
// 3.2.5, and checks that lengths and distances leave no gap.
func TestSymbols(t *testing.T) {
	type row struct{ symbol, value, extra uint }
	for _, r := range []row{{257, 3, 0}, {264, 10, 0}, {265, 11, 1}, {268, 17, 1}, {269, 19, 2}, {280, 115, 4}, {281, 131, 5}, {284, 227, 5}, {285, 258, 0}} {
		if e := literalSymbols[r.symbol]; e.value(0) != r.value || e.size() != r.extra || e&(isLiteral|isSpecial) != 0 {
			t.Errorf("length symbol %d: %#x, want %d and %d bits", r.symbol, uint32(e), r.value, r.extra)
		}
	}
	for _, r := range []row{{0, 1, 0}, {3, 4, 0}, {4, 5, 1}, {5, 7, 1}, {6, 9, 2}, {13, 97, 5}, {27, 12289, 12}, {28, 16385, 13}, {29, 24577, 13}} {
		if e := distanceSymbols[r.symbol]; e.value(0) != r.value || e.size() != r.extra || e&isSpecial != 0 {
			t.Errorf("distance symbol %d: %#x, want %d and %d bits", r.symbol, uint32(e), r.value, r.extra)
		}
	}
	next := uint(1)
	for _, e := range distanceSymbols[:maxDistances] {
		if e.value(0) != next {
			t.Errorf("distance %d follows %d", e.value(0), next-1)
		}
		next = e.value(0) + 1<<e.size()
	}
	if next != history+1 {
		t.Errorf("the farthest distance is %d", next-1)
	}
	for symbol := range uint(endOfBlock) {
		if e := literalSymbols[symbol]; e&isLiteral == 0 || byte(e>>valueShift) != byte(symbol) {
			t.Errorf("literal %d: %#x", symbol, uint32(e))
		}
	}
	for _, e := range []entry{literalSymbols[286], literalSymbols[287], distanceSymbols[30], distanceSymbols[31]} {
		if e != invalid {
			t.Errorf("a symbol that stands for nothing: %#x", uint32(e))
		}
	}
}

// randomLengths makes the lengths of a complete code of n symbols, by dividing leaves of
// a tree, and zeros for others.
func randomLengths(r *rand.Rand, n, all int) []uint8 {
	leaves := []uint8{0}
	for len(leaves) < n {
		i := r.IntN(len(leaves))
		if r.IntN(3) > 0 { // deep trees are what needs second tables
			i = len(leaves) - 1
		}
		if leaves[i] < maxCode {
			leaves[i]++
			leaves = append(leaves, leaves[i])
		}
	}
	lengths := append(leaves, make([]uint8, all-n)...)
	r.Shuffle(len(lengths), func(i, j int) { lengths[i], lengths[j] = lengths[j], lengths[i] })
	return lengths
}

// canonical returns the codes of RFC 1951, section 3.2.2, by its own algorithm.
func canonical(lengths []uint8) []uint {
	var count, next [maxCode + 1]uint
	for _, n := range lengths {
		if n > 0 {
			count[n]++
		}
	}
	code := uint(0)
	for n := 1; n <= maxCode; n++ {
		code = (code + count[n-1]) << 1
		next[n] = code
	}
	codes := make([]uint, len(lengths))
	for symbol, n := range lengths {
		codes[symbol] = next[n]
		next[n]++
	}
	return codes
}

// TestTables looks up every code followed by every other bit, in tables that held
// other codes before.
func TestTables(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var d decoder
	for round := range 400 {
		literals, distances := 2+r.IntN(maxLiterals-1), 2+r.IntN(maxDistances-1)
		lengths := append(randomLengths(r, literals, maxLiterals), randomLengths(r, distances, maxDistances)...)
		if !d.build(lengths, maxLiterals) {
			t.Fatalf("round %d: refused", round)
		}
		check := func(table []entry, rootBits uint, lengths []uint8, symbols []entry) {
			for symbol, code := range canonical(lengths) {
				n := uint(lengths[symbol])
				for range 8 * min(n, 1) {
					in := uint64(reverse(code, n)) | r.Uint64()<<n
					e := table[in&(1<<rootBits-1)]
					if e&isLink != 0 {
						e = table[e.second(in, rootBits)]
					}
					if e != symbols[symbol].coded(n) || e.code() != n {
						t.Fatalf("round %d: symbol %d of %d bits: %#x", round, symbol, n, uint32(e))
					}
				}
			}
		}
		check(d.literal[:], literalBits, lengths[:maxLiterals], literalSymbols[:])
		check(d.distance[:], distanceBits, lengths[maxLiterals:], distanceSymbols[:])
	}
}

func TestCodes(t *testing.T) {
	deep := []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 15}
	tests := []struct {
		name    string
		lengths []uint8
		ok      bool
		entries []entry // of the first two combinations
	}{
		{"none", []uint8{0, 0, 0}, true, []entry{invalid, invalid}},
		{"empty list", nil, true, []entry{invalid, invalid}},
		{"one of one bit", []uint8{0, 1}, true, []entry{distanceSymbols[1].coded(1), invalid}},
		{"one of two bits", []uint8{0, 2}, false, nil},
		{"two of one bit", []uint8{1, 1}, true, []entry{distanceSymbols[0].coded(1), distanceSymbols[1].coded(1)}},
		{"three of one bit", []uint8{1, 1, 1}, false, nil},
		{"one left over", []uint8{1, 2}, false, nil},
		{"deepest", deep, true, []entry{distanceSymbols[0].coded(1), distanceSymbols[1].coded(2)}},
		{"deepest with one too many", append(slices.Clone(deep), 15), false, nil},
		{"deepest with one too few", deep[:15], false, nil},
		{"only of 15 bits", []uint8{15, 15}, false, nil},
	}
	for _, tt := range tests {
		var b builder
		table := make([]entry, distanceTable)
		if ok := b.build(table, distanceBits, tt.lengths, distanceSymbols[:]); ok != tt.ok {
			t.Errorf("%s: %v", tt.name, ok)
		} else if ok && !slices.Equal(table[:2], tt.entries) {
			t.Errorf("%s: %#x, want %#x", tt.name, table[:2], tt.entries)
		}
	}
	var d decoder
	if !d.build(fixedLengths[:], allLiterals) {
		t.Error("the fixed code is refused")
	}
}

// TestSecondTables makes codes that need as many second tables as their symbols allow:
// pairs of codes that are one bit longer than the first table's index, and as few others
// as take up the rest. They all fit.
func TestSecondTables(t *testing.T) {
	for _, tt := range []struct {
		rootBits, symbols uint
		table             []entry
		entries           []entry
		most              uint // second tables
	}{
		{literalBits, maxLiterals, make([]entry, literalTable), literalSymbols[:], 139},
		{distanceBits, maxDistances, make([]entry, distanceTable), distanceSymbols[:], 12},
	} {
		most := uint(0)
		for pairs := uint(1); 2*pairs <= tt.symbols; pairs++ {
			lengths := slices.Repeat([]uint8{uint8(tt.rootBits + 1)}, int(2*pairs))
			for i := range tt.rootBits {
				if (1<<tt.rootBits-pairs)>>i&1 == 1 {
					lengths = append(lengths, uint8(tt.rootBits-i))
				}
			}
			if uint(len(lengths)) > tt.symbols {
				continue
			}
			most = pairs
			var b builder
			if !b.build(tt.table, tt.rootBits, lengths, tt.entries) {
				t.Fatalf("%d pairs: refused", pairs)
			}
		}
		if most != tt.most {
			t.Errorf("at most %d second tables, want %d", most, tt.most)
		}
	}
}
