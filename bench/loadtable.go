//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
)

// setsNote describes the sets, one on a line.
func setsNote(sets []imageSet) string {
	var t strings.Builder
	for _, s := range sets {
		fmt.Fprintf(&t, "- %s: %d in a tarball of %s MB; %s\n", s.Title, s.Images, megabytes(float64(s.Size)), s.Origin)
	}
	return t.String()
}

// loadTable returns the table of one set under one condition. It has a column for syncs only
// if they were counted.
func loadTable(rows []*loadRow) string {
	counted := slices.ContainsFunc(rows, func(r *loadRow) bool { return r.Syncs != "" })
	t := table{head: []string{"command", "wall s", "x ctr import", "x ctr --local", "client CPU s", "containerd CPU s",
		"CPU x ctr --local", "client peak MiB", "containerd peak MiB", "root MB", "layers unpacked", "in CRI"}}
	if counted {
		t.head = append(t.head, "syncs (client + containerd)")
	}
	for _, r := range rows {
		if len(r.First) == 0 {
			t.add(r.Name, "not run")
			t.note("%s was not run: %s", r.Name, r.Trouble)
			continue
		}
		cells := append([]string{r.Name}, loadCells(rows, r.First, firstLoads)...)
		if counted {
			cells = append(cells, r.Syncs)
		}
		t.add(cells...)
	}
	for _, r := range rows {
		if len(r.Again) > 0 {
			t.add(append([]string{r.Name + ", again"}, loadCells(rows, r.Again, secondLoads)...)...)
		}
	}
	return t.String()
}

// firstLoads and secondLoads return the samples of a row.
func firstLoads(r *loadRow) []loaded  { return r.First }
func secondLoads(r *loadRow) []loaded { return r.Again }

// loadCells returns the cells of a row after its name.
func loadCells(rows []*loadRow, samples []loaded, of func(*loadRow) []loaded) []string {
	times := func(name string, pick func(loaded) float64) string {
		ratios := paired(samples, of(findRow(rows, name)), pick)
		if len(ratios) == 0 {
			return "-"
		}
		return digits(median(ratios))
	}
	figure := func(pick func(loaded) float64) float64 { return median(collect(samples, pick)) }
	return []string{
		spreadOf(collect(samples, loaded.wall)).String(), times(ctrImport, loaded.wall), times(ctrLocal, loaded.wall),
		digits(figure(func(s loaded) float64 { return s.CPU.Seconds() })),
		digits(figure(func(s loaded) float64 { return s.DaemonCPU.Seconds() })), times(ctrLocal, loaded.cpu),
		mib(figure(func(s loaded) float64 { return float64(s.Peak) })), mib(figure(loaded.memory)),
		megabytes(figure(func(s loaded) float64 { return float64(s.Root) })),
		fmt.Sprint(figure(func(s loaded) float64 { return float64(s.Snapshots) })),
		fmt.Sprint(figure(func(s loaded) float64 { return float64(s.Visible) })),
	}
}

// The figures that are compared: the seconds that a load took, the processor time of the
// client and containerd together, the peak memory of containerd.
func (s loaded) wall() float64   { return s.Wall.Seconds() }
func (s loaded) cpu() float64    { return (s.CPU + s.DaemonCPU).Seconds() }
func (s loaded) memory() float64 { return float64(s.DaemonPeak) }

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
