//go:build linux

package main

import (
	"fmt"
	"strconv"
)

// mark is a figure that our programs are meant to reach.
type mark struct {
	what   string
	unit   string  // behind both figures, such as " MiB"
	limit  float64 // the largest figure that is good
	got    float64
	gotten bool // false: it was not measured in this run
}

// verdict is the last column.
func (m mark) verdict() string {
	switch {
	case !m.gotten:
		return "not run"
	case m.got <= m.limit:
		return "yes"
	default:
		return "no"
	}
}

// figure is a value with its unit; what has none is a number of things.
func (m mark) figure(v float64) string {
	if m.unit == "" {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return digits(v) + m.unit
}

// marksTable shows marks and what became of them.
func marksTable(marks []mark) string {
	t := table{head: []string{"mark", "at most", "measured", "reached"}}
	for _, m := range marks {
		got := "-"
		if m.gotten {
			got = m.figure(m.got)
		}
		t.add(m.what, m.figure(m.limit), got, m.verdict())
	}
	return t.String()
}

// compare is a mark on the ratio of two rows' figures, where larger is worse. A row that
// has no figure leaves it unmeasured.
func compare(what string, limit, ours, theirs float64) mark {
	m := mark{what: what, unit: " x", limit: limit}
	if ours > 0 {
		m.got, m.gotten = ratio(ours, theirs)
	}
	return m
}

// atMost is a mark on a figure of our own.
func atMost(what, unit string, limit, got float64, measured bool) mark {
	return mark{what: what, unit: unit, limit: limit, got: got, gotten: measured}
}

// heading of a section of the output.
func heading(format string, args ...any) string {
	return "\n## " + fmt.Sprintf(format, args...) + "\n\n"
}
