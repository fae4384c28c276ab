//go:build linux

package main

import (
	"fmt"
	"strings"
)

// state is the result of a cell.
type state int

const (
	works  state = iota
	fails        // unexpectedly
	known        // does not work, as listed in gaps
	notRun       // for the given reason
	fixed        // works although listed in gaps
)

// cell is one result.
type cell struct {
	state  state
	reason string
}

// row is the results of one containerd or reader.
type row struct {
	name  string
	cells []cell // one for each column
}

// table is a table of results.
type table struct {
	corner  string
	columns []string
	rows    []row
}

func (t *table) add(r row) { t.rows = append(t.rows, r) }

// broken returns the number of cells that are not as expected; if strict, cells that were
// not run count, too.
func (t *table) broken(strict bool) int {
	n := 0
	for _, r := range t.rows {
		for _, c := range r.cells {
			if c.state == fails || c.state == fixed || strict && c.state == notRun {
				n++
			}
		}
	}
	return n
}

// String returns the text of a cell.
func (c cell) String() string {
	switch c.state {
	case works:
		return "ok"
	case known:
		return "no"
	case notRun:
		return "not run: " + oneLine(c.reason)
	case fixed:
		return "WORKS although listed as a gap"
	}
	return "FAILED: " + oneLine(c.reason)
}

// oneLine shortens a reason to fit into a cell.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(strings.ReplaceAll(s, "|", "/")), " ")
	if r := []rune(s); len(r) > maxReason {
		s = string(r[:maxReason]) + "…"
	}
	return s
}

// maxReason is the maximum length of a reason in characters.
const maxReason = 300

// markdown formats the table with aligned columns.
func (t *table) markdown() string {
	lines := [][]string{append([]string{t.corner}, t.columns...)}
	for _, r := range t.rows {
		line := []string{r.name}
		for _, c := range r.cells {
			line = append(line, c.String())
		}
		lines = append(lines, line)
	}
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, s := range l {
			width[i] = max(width[i], len([]rune(s)))
		}
	}
	var b strings.Builder
	for n, l := range lines {
		for i, s := range l {
			fmt.Fprintf(&b, "| %-*s ", width[i], s)
		}
		b.WriteString("|\n")
		if n == 0 {
			for _, w := range width {
				b.WriteString("| " + strings.Repeat("-", w) + " ")
			}
			b.WriteString("|\n")
		}
	}
	return b.String()
}

// remarks returns the reasons of the known gaps of the table, each once.
func (t *table) remarks() []string {
	var lines []string
	seen := map[string]bool{}
	for _, r := range t.rows {
		for i, c := range r.cells {
			line := fmt.Sprintf("%s, %s: %s", r.name, t.columns[i], c.reason)
			if c.state == known && !seen[line] {
				seen[line] = true
				lines = append(lines, line)
			}
		}
	}
	return lines
}
