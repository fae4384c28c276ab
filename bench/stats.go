//go:build linux

package main

import (
	"cmp"
	"slices"
	"strconv"
)

// number is the type of a column's values.
type number interface{ ~int | ~int64 | ~float64 }

// median returns the median of the values: the mean of the middle two if their number is
// even, 0 if there are none. It does not change the order of values.
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

// spreadOf returns the spread of the values.
func spreadOf[T number](values []T) spread {
	if len(values) == 0 {
		return spread{}
	}
	return spread{median(values), float64(slices.Min(values)), float64(slices.Max(values)), len(values)}
}

// String returns "1.23 (1.20-1.31)", or only the value if there is one.
func (s spread) String() string {
	if s.n < 2 {
		return digits(s.median)
	}
	return digits(s.median) + " (" + digits(s.min) + "-" + digits(s.max) + ")"
}

// digits formats a figure with three significant digits, at most two of them after the
// point: benchmarks on shared machines are no more precise.
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

// ratio returns a/b, and false if that is meaningless.
func ratio(a, b float64) (float64, bool) {
	if b <= 0 || a < 0 {
		return 0, false
	}
	return a / b, true
}

// collect returns one figure of each sample.
func collect[S any, T cmp.Ordered](samples []S, pick func(S) T) []T {
	values := make([]T, len(samples))
	for i, s := range samples {
		values[i] = pick(s)
	}
	return values
}

// rotate returns the order of n peers in a round: in n rounds each is first once.
func rotate(n, round int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = (i + round) % n
	}
	return order
}
