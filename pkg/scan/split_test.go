package scan

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// splitAll returns the chunks of src as line:column@offset text.
func splitAll(t *testing.T, src string, limit int) []string {
	t.Helper()
	var out []string
	s := newSplitter(strings.NewReader(src), 0, limit)
	for {
		c, err := s.next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		if !c.tooBig && !strings.HasPrefix(strings.ReplaceAll(src[c.offset:], "%YAML", "#YAML"), string(c.data)) {
			t.Errorf("chunk %q is not at %d", c.data, c.offset)
		}
		big := ""
		if c.tooBig {
			big = "too big "
			c.data = nil
		}
		out = append(out, fmt.Sprintf("%s%d:%d %s", big, c.line, c.column, c.data))
	}
}

func TestSplit(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		want      []string
	}{
		{"nothing", "", nil},
		{"blank", "\n# c\n\n", nil},
		{"one", "a: 1", []string{"1:0 a: 1"}},
		{"two", "a: 1\n---\nb: 2\n", []string{"1:0 a: 1\n", "2:0 ---\nb: 2\n"}},
		{"markers alone", "---\n---\n# c\n---\nb: 2\n", []string{"4:0 ---\nb: 2\n"}},
		{"comment behind the marker", "a: 1\n--- # x\nb: 2\n", []string{"1:0 a: 1\n", "2:0 --- # x\nb: 2\n"}},
		{"content behind the marker", "--- {a: 1}\n--- b\n", []string{"1:0 --- {a: 1}\n", "2:0 --- b\n"}},
		{"no marker", "a: 1\n---b\n --- \n----\n", []string{"1:0 a: 1\n---b\n --- \n----\n"}},
		{"CRLF", "a: 1\r\n---\r\nb: 2\r\n", []string{"1:0 a: 1\r\n", "2:0 ---\r\nb: 2\r\n"}},
		{"in a block scalar", "a: |\n  x\n---\n  y\n", []string{"1:0 a: |\n  x\n", "3:0 ---\n  y\n"}},
		{"end marker", "a: 1\n...\n# c\nb: 2\n...\n", []string{"1:0 a: 1\n", "3:0 # c\nb: 2\n"}},
		{"directives", "%YAML 1.2\n%TAG ! x\n---\na: 1\n...\n%TAG ! y\n---\nb: 2\n",
			[]string{"1:0 #YAML 1.2\n%TAG ! x\n---\na: 1\n", "6:0 %TAG ! y\n---\nb: 2\n"}},
		{"no last newline", "a: 1\n---", []string{"1:0 a: 1\n"}},
		{"JSON values", "{\"a\":1}\n{\"b\":\"}{\"} [2]\n", []string{"1:0 {\"a\":1}\n", "2:0 {\"b\":\"}{\"} ", "2:11 [2]\n"}},
		{"JSON and marker", "{\"a\":1}\n---\n{\"b\":2}\n", []string{"1:0 {\"a\":1}\n", "2:0 ---\n{\"b\":2}\n"}},
		{"flow style", "{a: '}{'}\n", []string{"1:0 {a: '}{'}\n"}},
		{"flow comment", "{a: 1, # }{\nb: 2}\n", []string{"1:0 {a: 1, # }{\nb: 2}\n"}},
		{"escaped quote", `{"a":"\"}{"}` + "\n", []string{`1:0 {"a":"\"}{"}` + "\n"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, splitAll(t, tc.src, 1<<20)); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
		})
	}
}

func TestSplitLimit(t *testing.T) {
	doc := "a: 1234\n" // 8 bytes
	for limit, want := range map[int][]string{
		7:  {"too big 1:0 ", "too big 2:0 "},
		8:  {"1:0 " + doc, "too big 2:0 "},
		12: {"1:0 " + doc, "2:0 ---\n" + doc},
	} {
		if diff := cmp.Diff(want, splitAll(t, doc+"---\n"+doc, limit)); diff != "" {
			t.Errorf("limit %d: want -, got +:\n%s", limit, diff)
		}
	}
}

func TestSplitLongLine(t *testing.T) {
	src := strings.Repeat(" ", 70<<10) + "x\n---\n" + strings.Repeat("y", 200<<10)
	got := splitAll(t, src, 1<<20)
	if len(got) != 2 || got[0] != "1:0 "+src[:70<<10+2] || len(got[1]) != 4+4+200<<10 {
		t.Errorf("%d chunks", len(got))
	}
}

func TestSplitReadError(t *testing.T) {
	broken := errors.New("broken")
	s := newSplitter(io.MultiReader(strings.NewReader("a: 1\n"), iotest.ErrReader(broken)), 0, 100)
	if c, err := s.next(); err != nil || string(c.data) != "a: 1\n" {
		t.Errorf("first chunk %q, %v", c.data, err)
	}
	if _, err := s.next(); !errors.Is(err, broken) {
		t.Errorf("then %v", err)
	}
}
