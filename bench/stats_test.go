//go:build linux

package main

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   float64
	}{
		{"none", nil, 0},
		{"one", []float64{4}, 4},
		{"two", []float64{5, 2}, 3.5},
		{"three, unsorted", []float64{9, 1, 2}, 2},
		{"four, unsorted", []float64{9, 1, 2, 4}, 3},
		{"all the same", []float64{7, 7, 7}, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := slices.Clone(c.values)
			if got := median(c.values); got != c.want {
				t.Errorf("median(%v) = %v, want %v", c.values, got, c.want)
			}
			if diff := cmp.Diff(before, c.values); diff != "" {
				t.Errorf("the values were changed:\n%s", diff)
			}
		})
	}
	if got := median([]int{1, 2}); got != 1.5 {
		t.Errorf("median of the integers 1 and 2 is %v", got)
	}
}

func TestSpread(t *testing.T) {
	for _, c := range []struct {
		name   string
		values []float64
		want   string
	}{
		{"none", nil, "0.00"},
		{"one", []float64{0.634}, "0.63"},
		{"three", []float64{1.4, 1.2, 1.3}, "1.30 (1.20-1.40)"},
		{"larger ones", []float64{100, 20, 50}, "50.0 (20.0-100)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := spreadOf(c.values).String(); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDigits(t *testing.T) {
	for _, c := range []struct {
		value float64
		want  string
	}{
		{0, "0.00"}, {0.004, "0.00"}, {0.005001, "0.01"}, {9.99, "9.99"}, {9.996, "10.0"},
		{10, "10.0"}, {99.94, "99.9"}, {99.96, "100"}, {12345.6, "12346"}, {-1.5, "-1.50"},
	} {
		if got := digits(c.value); got != c.want {
			t.Errorf("digits(%v) = %q, want %q", c.value, got, c.want)
		}
	}
}

func TestRatio(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b float64
		want float64
		ok   bool
	}{
		{"half", 1, 2, 0.5, true},
		{"nothing of something", 0, 2, 0, true},
		{"of nothing", 1, 0, 0, false},
		{"of less than nothing", 1, -1, 0, false},
		{"less than nothing", -1, 1, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, ok := ratio(c.a, c.b); got != c.want || ok != c.ok {
				t.Errorf("ratio(%v, %v) = %v, %v; want %v, %v", c.a, c.b, got, ok, c.want, c.ok)
			}
		})
	}
}

// TestRotate checks that each peer runs once per round, and is first once in as many rounds
// as there are peers.
func TestRotate(t *testing.T) {
	got := [][]int{rotate(3, 0), rotate(3, 1), rotate(3, 2), rotate(3, 3)}
	want := [][]int{{0, 1, 2}, {1, 2, 0}, {2, 0, 1}, {0, 1, 2}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got := rotate(0, 5); len(got) != 0 {
		t.Errorf("no peers in a round: %v", got)
	}
}

func TestCollect(t *testing.T) {
	got := collect([]string{"a", "bbb", ""}, func(s string) int { return len(s) })
	if diff := cmp.Diff([]int{1, 3, 0}, got); diff != "" {
		t.Error(diff)
	}
}
