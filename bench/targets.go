//go:build linux

package main

import (
	"fmt"
	"strconv"
)

// target is a target: a figure that our programs should reach.
type target struct {
	what     string
	unit     string  // of both figures, such as " MiB"
	limit    float64 // the largest acceptable figure
	got      float64
	measured bool // in this run
}

// verdict returns the last column.
func (m target) verdict() string {
	switch {
	case !m.measured:
		return "not run"
	case m.got <= m.limit:
		return "yes"
	default:
		return "no"
	}
}

// figure formats a value with its unit; counts have none.
func (m target) figure(v float64) string {
	if m.unit == "" {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return digits(v) + m.unit
}

// targetsTable returns a table of targets.
func targetsTable(targets []target) string {
	t := table{head: []string{"target", "at most", "measured", "reached"}}
	for _, m := range targets {
		got := "-"
		if m.measured {
			got = m.figure(m.got)
		}
		t.add(m.what, m.figure(m.limit), got, m.verdict())
	}
	return t.String()
}

// compare returns a target for the ratio of two rows' figures, where larger is worse. It is
// not measured if a row has no figure.
func compare(what string, limit, ours, theirs float64) target {
	m := target{what: what, unit: " x", limit: limit}
	if ours > 0 {
		m.got, m.measured = ratio(ours, theirs)
	}
	return m
}

// atMost returns a target for a figure of our own.
func atMost(what, unit string, limit, got float64, measured bool) target {
	return target{what: what, unit: unit, limit: limit, got: got, measured: measured}
}

// heading returns the heading of a section of the output.
func heading(format string, args ...any) string {
	return "\n## " + fmt.Sprintf(format, args...) + "\n\n"
}
