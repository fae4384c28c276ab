//go:build linux

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"stowage/internal/nodetest"
)

func TestNewCell(t *testing.T) {
	broken := errors.New("connection refused")
	for _, c := range []struct {
		name string
		err  error
		gap  string
		want state
		text string
	}{
		{"works", nil, "", works, "ok"},
		{"fails", broken, "", fails, "FAILED: connection refused"},
		{"known failure", broken, "too old", known, "no"},
		{"known failure works", nil, "too old", fixed, "WORKS although listed as a gap"},
		{"no containerd", fmt.Errorf("start: %w", &nodetest.MissingError{What: "no runc"}), "", notRun, "not run: start: no test node: no runc"},
		{"no reader", &absentError{"no nerdctl"}, "", notRun, "not run: no nerdctl"},
		{"no reader, with a gap", &absentError{"no nerdctl"}, "too old", notRun, "not run: no nerdctl"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := newCell(c.err, c.gap)
			if got.state != c.want || got.String() != c.text {
				t.Errorf("got %v %q, want %v %q", got.state, got, c.want, c.text)
			}
		})
	}
}

// TestBroken checks that unexpected failures and unexpected successes count, and in CI also
// cells that were not run.
func TestBroken(t *testing.T) {
	for s, want := range map[state][2]int{works: {0, 0}, fails: {1, 1}, known: {0, 0}, notRun: {0, 1}, fixed: {1, 1}} {
		table := table{columns: []string{"a"}, rows: []row{{"r", []cell{{s, "why"}}}}}
		if got := [2]int{table.broken(false), table.broken(true)}; got != want {
			t.Errorf("state %d: %d, want %d", s, got, want)
		}
	}
}

func TestMarkdown(t *testing.T) {
	table := table{corner: "reader", columns: []string{"default", "zst"}}
	table.add(row{"ctr", []cell{{works, ""}, {fails, "a|b\nc"}}})
	table.add(row{"docker", []cell{{known, "no zstd"}, {notRun, "missing"}}})
	want := `| reader | default | zst              |
| ------ | ------- | ---------------- |
| ctr    | ok      | FAILED: a/b c    |
| docker | no      | not run: missing |
`
	if got := table.markdown(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := strings.Join(table.remarks(), "\n"); got != "docker, default: no zstd" {
		t.Errorf("remarks %q", got)
	}
}

func TestOneLine(t *testing.T) {
	for _, n := range []int{0, maxReason - 1, maxReason, maxReason + 1} {
		got := []rune(oneLine(strings.Repeat("ä", n)))
		if want := min(n, maxReason+1); len(got) != want {
			t.Errorf("%d characters became %d, want %d", n, len(got), want)
		}
	}
}

// TestGaps checks that each gap names an existing reader and form.
func TestGaps(t *testing.T) {
	forms, readers := formNames(), readerNames()
	for _, g := range gaps {
		if strings.HasPrefix(g.row, "ctr ") {
			g.row = "ctr"
		}
		if !slices.Contains(readers, g.row) || !slices.Contains(forms, g.form) && g.form != "" || g.why == "" {
			t.Errorf("%+v: no such reader, form, or reason", g)
		}
	}
	if gapOf("no such reader", "default") != "" {
		t.Error("a gap of an unknown reader")
	}
}

// TestNumbers checks that versions are sorted by their numbers, not as text.
func TestNumbers(t *testing.T) {
	versions := []string{"2.10.0", "2.9.11", "1.6.20", "2.9.2"}
	slices.SortFunc(versions, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) })
	if got := strings.Join(versions, " "); got != "1.6.20 2.9.2 2.9.11 2.10.0" {
		t.Error(got)
	}
}
