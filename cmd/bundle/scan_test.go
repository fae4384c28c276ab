package main

import (
	"slices"
	"testing"

	"stowage/pkg/scan"
)

// TestWarningLines: equal warnings are one line with their number and places.
func TestWarningLines(t *testing.T) {
	warn := func(message, advice, file string, line int) scan.Warning {
		return scan.Warning{Message: message, Advice: advice, Position: scan.Position{File: file, Line: line, Column: 2}}
	}
	var warnings []scan.Warning
	for i := range 7 {
		warnings = append(warnings, warn("many", "do this", "a.yaml", i+1))
		if i == 0 {
			warnings = append(warnings, warn("one", "", "a.yaml", 3), warn("many", "do that", "a.yaml", 4), warn("two", "do", "a.yaml", 5))
		}
	}
	warnings = append(warnings, warn("two", "do", "b.yaml", 6))
	want := []string{
		"a.yaml:1:2: many; do this (7 places: a.yaml:1:2, a.yaml:2:2, a.yaml:3:2, a.yaml:4:2, a.yaml:5:2 and 2 more)",
		"a.yaml:3:2: one",
		"a.yaml:4:2: many; do that",
		"a.yaml:5:2: two; do (2 places: a.yaml:5:2, b.yaml:6:2)",
	}
	if got := warningLines(warnings); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
