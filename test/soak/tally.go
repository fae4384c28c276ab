//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// tally counts what a run did, so that it can report what was tested.
type tally struct {
	counts map[string]int
	peaks  map[string]int64 // largest memory of each program, bytes
}

func newTally() *tally { return &tally{counts: map[string]int{}, peaks: map[string]int64{}} }

// add counts something under a heading.
func (t *tally) add(what string) { t.counts[what]++ }

// peak records the memory of a program.
func (t *tally) peak(program string, bytes int64) {
	t.peaks[program] = max(t.peaks[program], bytes)
}

func (t *tally) counted(what string) string { return fmt.Sprintf("%d %s", t.counts[what], what) }

// String lists the counts, sorted, and the peaks.
func (t *tally) String() string {
	var b strings.Builder
	for _, what := range slices.Sorted(maps.Keys(t.counts)) {
		fmt.Fprintf(&b, "%7d  %s\n", t.counts[what], what)
	}
	for _, p := range slices.Sorted(maps.Keys(t.peaks)) {
		fmt.Fprintf(&b, "%7.1f  MiB peak: %s\n", float64(t.peaks[p])/(1<<20), p)
	}
	return b.String()
}
