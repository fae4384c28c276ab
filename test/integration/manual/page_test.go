package manual

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for _, row := range []struct {
		name, page string
		want       []block
	}{
		{"no block", "# Title\n\ntext\n    continued\n", nil},
		{"indented", "text\n\n    a\n      b\n\n    c\n\ntext\n", []block{{3, commands, "a\n  b\n\nc\n", ""}}},
		{"fenced", "text\n```sh\na\n    b\n```\n", []block{{3, commands, "a\n    b\n", ""}}},
		{"language", "```go\nx\n```\n", []block{{2, other, "x\n", ""}}},
		{"item", "1. text\n\n   paragraph\n\n       a\n\n2. text\n", []block{{5, commands, "a\n", ""}}},
		{"item of an item", "- text\n  - text\n\n        a\n\nend\n\n    b\n", []block{{4, commands, "a\n", ""}, {8, commands, "b\n", ""}}},
		{"marks", "<!-- illustration: it takes an hour -->\n\n    a\n\n<!-- output -->\n\n    b\n", []block{{3, illustration, "a\n", ""}, {7, output, "b\n", ""}}},
		{"server", "<!-- serves: 5480 -->\n\n    a\n\n    b\n", []block{{3, serves, "a\n\nb\n", "5480"}}},
		{"setup", "<!-- setup: a -->\n<!-- setup:\nb\nc\n-->\n\n    d\n", []block{{1, setup, "a ", ""}, {2, setup, "b\nc\n", ""}, {7, commands, "d\n", ""}}},
		{"other comment", "<!-- hello -->\n\n    a\n", []block{{3, commands, "a\n", ""}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := parse(row.page)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(row.want, got, cmp.AllowUnexported(block{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseErrors(t *testing.T) {
	for _, row := range []struct{ name, page, want string }{
		{"no reason", "<!-- illustration -->\n\n    a\n", "line 1: the mark"},
		{"no port", "<!-- serves -->\n\n    a\n", "line 1: the mark"},
		{"reason", "<!-- output: a -->\n\n    a\n", "line 1: the mark"},
		{"no block", "<!-- output -->\n\ntext\n", "line 3: the mark"},
		{"end", "<!-- output -->\n", "at the end"},
		{"language", "```text\na\n```\n", "line 1: a block"},
		{"open fence", "```\na\n", "line 1: the fence"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if _, err := parse(row.page); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("error %v, want %q", err, row.want)
			}
		})
	}
}
