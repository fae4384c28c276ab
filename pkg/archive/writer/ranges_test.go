package writer

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRanges compares the set with a plain array of bytes.
func TestRanges(t *testing.T) {
	const size = 40
	rng := rand.New(rand.NewPCG(3, 4))
	var s ranges
	var there [size]bool
	for range 5000 {
		a, b := rng.Int64N(size), rng.Int64N(size)
		if a > b {
			a, b = b, a
		}
		add := rng.IntN(2) == 0
		if add {
			s.add(a, b)
		} else {
			s.remove(a, b)
		}
		for i := a; i < b; i++ {
			there[i] = add
		}
		compare(t, &s, there[:], a, b)
		if t.Failed() {
			t.Fatalf("after %t of [%d,%d): %v", add, a, b, s.list)
		}
	}
}

func compare(t *testing.T, s *ranges, there []bool, a, b int64) {
	t.Helper()
	var want []span
	for i := range int64(len(there)) {
		if there[i] {
			if n := len(want); n > 0 && want[n-1].end == i {
				want[n-1].end++
			} else {
				want = append(want, span{i, i + 1})
			}
		}
	}
	if !slices.Equal(s.list, want) {
		t.Errorf("set is %v, want %v", s.list, want)
	}
	overlap, end := false, a
	for i := a; i < b; i++ {
		overlap = overlap || there[i]
	}
	for end < int64(len(there)) && there[end] {
		end++
	}
	if got := s.overlap(a, b); got != overlap {
		t.Errorf("overlap(%d, %d) is %t", a, b, got)
	}
	if got := s.from(a); got != end {
		t.Errorf("from(%d) is %d, want %d", a, got, end)
	}
	covered := make([]bool, len(there))
	for _, h := range s.missing(a, b) {
		for i := h.start; i < h.end; i++ {
			covered[i] = true
		}
	}
	for i := range int64(len(there)) {
		if covered[i] != (i >= a && i < b && !there[i]) {
			t.Errorf("gaps(%d, %d) are %v", a, b, s.missing(a, b))
			break
		}
	}
}
