//go:build linux

package main

import (
	"fmt"
	"strings"
)

// setsNote describes the sets, one on a line.
func setsNote(sets []imageSet) string {
	var t strings.Builder
	for _, s := range sets {
		fmt.Fprintf(&t, "- %s: %d in a tarball of %s MB; %s\n", s.title, len(s.refs), megabytes(float64(s.size)), s.origin)
	}
	return t.String()
}

// loadTable returns the table of one set under one condition.
func loadTable(rows []*loadRow, again bool) string {
	t := table{head: []string{"command", "wall s", "x ctr import", "x ctr --local", "client CPU s", "containerd CPU s",
		"CPU x ctr --local", "client peak MiB", "containerd peak MiB", "syncs (client + containerd)", "root MB", "in CRI"}}
	for _, r := range rows {
		if len(r.first) == 0 {
			t.add(r.name, "not run")
			t.note("%s was not run: %s", r.name, r.trouble)
			continue
		}
		t.add(append([]string{r.name}, loadCells(rows, r.first, firstLoads, r.syncs)...)...)
	}
	for _, r := range rows {
		if again && len(r.again) > 0 {
			t.add(append([]string{r.name + ", again"}, loadCells(rows, r.again, secondLoads, "")...)...)
		}
	}
	return t.String()
}

// firstLoads and secondLoads return the samples of a row.
func firstLoads(r *loadRow) []loaded  { return r.first }
func secondLoads(r *loadRow) []loaded { return r.again }

// loadCells returns the cells of a row after its name.
func loadCells(rows []*loadRow, samples []loaded, of func(*loadRow) []loaded, syncs string) []string {
	if syncs == "" {
		syncs = "-"
	}
	times := func(name string, pick func(loaded) float64) string {
		ratios := paired(samples, of(findLoad(rows, name)), pick)
		if len(ratios) == 0 {
			return "-"
		}
		return digits(median(ratios))
	}
	figure := func(pick func(loaded) float64) float64 { return median(collect(samples, pick)) }
	return []string{
		spreadOf(collect(samples, loaded.wall)).String(), times(ctrImport, loaded.wall), times(ctrLocal, loaded.wall),
		digits(figure(func(s loaded) float64 { return s.CPU.Seconds() })),
		digits(figure(func(s loaded) float64 { return s.daemonCPU.Seconds() })), times(ctrLocal, loaded.cpu),
		mib(figure(func(s loaded) float64 { return float64(s.Peak) })), mib(figure(loaded.memory)),
		syncs, megabytes(figure(func(s loaded) float64 { return float64(s.root) })),
		fmt.Sprint(figure(func(s loaded) float64 { return float64(s.visible) })),
	}
}

// The figures that are compared: the seconds that a load took, the processor time of the
// client and containerd together, the peak memory of containerd.
func (s loaded) wall() float64   { return s.Wall.Seconds() }
func (s loaded) cpu() float64    { return (s.CPU + s.daemonCPU).Seconds() }
func (s loaded) memory() float64 { return float64(s.daemonPeak) }

// paired returns the ratio of two commands' figures in each round that has both.
func paired(mine, theirs []loaded, pick func(loaded) float64) []float64 {
	var ratios []float64
	for i := range min(len(mine), len(theirs)) {
		if x, ok := ratio(pick(mine[i]), pick(theirs[i])); ok {
			ratios = append(ratios, x)
		}
	}
	return ratios
}

// findLoad returns a row by name; without samples if there is none.
func findLoad(rows []*loadRow, name string) *loadRow {
	for _, r := range rows {
		if r.name == name {
			return r
		}
	}
	return &loadRow{loader: loader{name: name}}
}
