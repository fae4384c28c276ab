//go:build linux

package main

import (
	"fmt"
	"strings"
)

// table is a Markdown table whose columns are also aligned as plain text.
type table struct {
	head  []string
	rows  [][]string
	notes []string
}

// add appends a row. Missing cells at its end are empty.
func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// note adds a line below the table.
func (t *table) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// String formats the table. The first column is aligned left, all others right.
func (t *table) String() string {
	width := make([]int, len(t.head))
	for _, row := range append([][]string{t.head}, t.rows...) {
		for i := range width {
			width[i] = max(width[i], len([]rune(cell(row, i))), 2)
		}
	}
	var b strings.Builder
	line := func(row []string) {
		for i, w := range width {
			pad := strings.Repeat(" ", w-len([]rune(cell(row, i))))
			if i == 0 {
				b.WriteString("| " + cell(row, i) + pad)
			} else {
				b.WriteString(" | " + pad + cell(row, i))
			}
		}
		b.WriteString(" |\n")
	}
	line(t.head)
	rule := make([]string, len(width))
	for i, w := range width {
		rule[i] = strings.Repeat("-", w-1)
		if i == 0 {
			rule[i] += "-"
		} else {
			rule[i] += ":"
		}
	}
	line(rule)
	for _, row := range t.rows {
		line(row)
	}
	if len(t.notes) > 0 {
		b.WriteString("\n" + strings.Join(t.notes, "\n") + "\n")
	}
	return b.String()
}

// findRow returns the row of a command; without samples if there is none.
func findRow[R any, P interface {
	*R
	rowName() string
}](rows []P, name string) P {
	for _, r := range rows {
		if r.rowName() == name {
			return r
		}
	}
	return new(R)
}

// cell returns a cell of a row in a form that cannot break the table.
func cell(row []string, i int) string {
	if i >= len(row) {
		return ""
	}
	text := strings.ReplaceAll(row[i], "|", `\|`)
	return strings.Join(strings.Fields(text), " ")
}
