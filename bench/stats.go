//go:build linux

package main

import (
	"cmp"
	"slices"
	"strconv"
)

// number is what a column may hold.
type number interface{ ~int | ~int64 | ~float64 }

// median of the values, the mean of the two in the middle when there is no middle one; 0
// for none. The order of the values does not matter and is kept.
func median[T number](values []T) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return float64(sorted[half])
	}
	return (float64(sorted[half-1]) + float64(sorted[half])) / 2
}

// spread is a median with the smallest and the largest value.
type spread struct {
	median, min, max float64
	n                int
}

// spreadOf sums up values.
func spreadOf[T number](values []T) spread {
	if len(values) == 0 {
		return spread{}
	}
	return spread{median(values), float64(slices.Min(values)), float64(slices.Max(values)), len(values)}
}

// String is "1.23 (1.20-1.31)", or the value alone when there is just one.
func (s spread) String() string {
	if s.n < 2 {
		return digits(s.median)
	}
	return digits(s.median) + " (" + digits(s.min) + "-" + digits(s.max) + ")"
}

// digits writes a figure with three significant digits, at most two of them behind the
// point: benchmarks on shared machines say no more.
func digits(v float64) string {
	places := 2
	switch abs := max(v, -v); {
	case abs >= 99.95:
		places = 0
	case abs >= 9.995:
		places = 1
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

// ratio is a/b, and false when that says nothing.
func ratio(a, b float64) (float64, bool) {
	if b <= 0 || a < 0 {
		return 0, false
	}
	return a / b, true
}

// collect takes one figure out of each sample.
func collect[S any, T cmp.Ordered](samples []S, pick func(S) T) []T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = pick(s)
	}
	return values
}

// rotate gives the order of n peers in a round: everybody is first once in n rounds.
func rotate(n, round int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = (i + round) % n
	}
	return order
}
