package scan

import (
	"fmt"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// TestPlace shows that a piece of a scalar's value is found in its source, however the
// scalar is written.
func TestPlace(t *testing.T) {
	const ref = "quay.io/demo/x:1"
	for _, tc := range []struct {
		name, src string
		exact     bool
	}{
		{"plain", "a: quay.io/demo/x:1", true},
		{"plain in two lines", "a: one\n  quay.io/demo/x:1 three", true},
		{"plain in flow", "{a: one quay.io/demo/x:1, b: 2}", true},
		{"single quoted", "a: 'it''s quay.io/demo/x:1'", true},
		{"double quoted", `a: "a\tb\"c \u00e9 é \x20 quay.io/demo/x:1\n"`, true},
		{"double quoted, line folded", "a: \"one \\\n  quay.io/demo/x:1\"", true},
		{"double quoted, break inside", "a: \"quay.io/demo\\\n  /x:1\"", false},
		{"double quoted, escape inside", `a: "quay.io\x2Fdemo/x:1"`, false},
		{"surrogates", `{"a": "\ud83d\ude00 quay.io/demo/x:1"}`, true},
		{"literal", "a: |\n  one\n\n    two\n  quay.io/demo/x:1\n", true},
		{"literal with header", "a: |2- # c\n    one\n  quay.io/demo/x:1\n", true},
		{"literal with CRLF", "a: |\r\n  one\r\n  quay.io/demo/x:1\r\n", true},
		{"folded", "a: >-\n  one\n  two\n\n  quay.io/demo/x:1\n", true},
		{"anchor and tag", "a: &x !!str quay.io/demo/x:1", true},
		{"tag and anchor", "a: !!str   &x\n  quay.io/demo/x:1", true},
		{"wide characters before", "{é: ü, a: quay.io/demo/x:1}", true},
		{"carriage returns as breaks", "b: 1\ra: quay.io/demo/x:1", true},
		{"line separators as breaks", "b: |\n  x\u2028  y\na: quay.io/demo/x:1", true},
		{"JSON", "{\"b\": \"é\",\n \"a\": \"quay.io/demo/x:1\"}", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tx := newText(chunk{data: []byte(tc.src), line: 1})
			roots, bad := decode(tx, limits{depth: 10, nodes: 1000})
			if bad != nil {
				t.Fatal(bad)
			}
			b := budget{limits: limits{depth: 10, nodes: 1000}}
			f, _ := b.fields(roots[0], 0)
			n := f.get("a")
			inner := tx.inner(n)
			at, exact := inner.place(strings.Index(n.Value, ref), len(ref))
			if exact != tc.exact {
				t.Errorf("exact is %v", exact)
			}
			if exact && !strings.HasPrefix(tc.src[at:], ref) {
				t.Errorf("place returns %q", tc.src[at:])
			}
			if !exact && (at < 0 || at > len(tc.src)) {
				t.Errorf("place returns %d", at)
			}
		})
	}
}

// TestPlaceNested goes through a JSON text in a YAML text in a block scalar.
func TestPlaceNested(t *testing.T) {
	src := "data:\n  x: |\n    y: '{\"image\":\n      \"quay.io/demo/x:1\"}'\n"
	s := New(Options{})
	if err := s.Scan("in", strings.NewReader(src)); err != nil {
		t.Fatal(err)
	}
	res := s.Result()
	if len(res.References) != 1 || res.References[0].Line != 4 || res.References[0].Column != 8 || res.References[0].Field != "data.x > y > image" {
		t.Errorf("%+v", res.References)
	}
}

// TestPlaceBackwards shows that looking up an earlier place after a later one works.
func TestPlaceBackwards(t *testing.T) {
	src := "a: |\n  one\n  two\n  three\n"
	tx := newText(chunk{data: []byte(src), line: 1})
	roots, _ := decode(tx, limits{depth: 10, nodes: 100})
	inner := tx.inner(roots[0].Content[1])
	for _, word := range []string{"three", "one", "two", "one", "three"} {
		at, exact := inner.place(strings.Index(roots[0].Content[1].Value, word), len(word))
		if !exact || !strings.HasPrefix(src[at:], word) {
			t.Errorf("%s is at %d, exact %v", word, at, exact)
		}
	}
}

// TestPlaceEachByte looks up each byte of a value, from the last to the first and the other
// way round.
func TestPlaceEachByte(t *testing.T) {
	for _, src := range []string{"a: |\n  one two\n\n  three\n", "a: 'it''s one'\n", "a: \"one\\ttwo \\u00e9\"\n", "a: one\n  two\n"} {
		tx := newText(chunk{data: []byte(src), line: 1})
		roots, bad := decode(tx, limits{depth: 10, nodes: 100})
		if bad != nil {
			t.Fatal(bad)
		}
		value := roots[0].Content[1]
		forwards, backwards := make([]int, len(value.Value)), make([]int, len(value.Value))
		inner := tx.inner(value)
		for off := range value.Value {
			forwards[off], _ = inner.place(off, 1)
		}
		for off := len(value.Value) - 1; off >= 0; off-- {
			backwards[off], _ = inner.place(off, 1)
		}
		for off := range value.Value {
			fresh, exact := tx.inner(value).place(off, 1)
			if forwards[off] != fresh || backwards[off] != fresh {
				t.Errorf("%q: byte %d is at %d, forwards %d, backwards %d", src, off, fresh, forwards[off], backwards[off])
			}
			if c := value.Value[off]; exact && !isSpace(c) && src[fresh] != c {
				t.Errorf("%q: byte %d is %q, not %q", src, off, src[fresh], c)
			}
		}
	}
}

func TestContentStart(t *testing.T) {
	n := &yaml.Node{Kind: yaml.ScalarNode, Anchor: "x", Style: yaml.TaggedStyle}
	for _, src := range []string{"&x", "!!str &x", "&x !!str   "} {
		if at := contentStart([]byte(src), 0, n); at > len(src) {
			t.Errorf("%q: %d", src, at)
		}
	}
}

func TestPosition(t *testing.T) {
	tx := newText(chunk{data: []byte("ab\ncd\n"), line: 7, column: 4})
	for off, want := range map[int][2]int{0: {7, 5}, 1: {7, 6}, 2: {7, 7}, 3: {8, 1}, 5: {8, 3}, 6: {9, 1}} {
		if l, c := tx.position(off); l != want[0] || c != want[1] {
			t.Errorf("offset %d is %d:%d, want %v", off, l, c, want)
		}
	}
}

// TestPlaceLong looks up places of long texts in every order: with escapes, wide
// characters, and one line of many kB.
func TestPlaceLong(t *testing.T) {
	const n = 1000
	for name, pattern := range map[string][3]string{
		"literal":       {"a: |\n", "  é word-%d\n", ""},
		"double quoted": {"a: \"", `\u00e9\twort-%d\n`, "\""},
		"one line":      {"{a: '", "it''s é word-%d ", "'}"},
	} {
		t.Run(name, func(t *testing.T) {
			var src strings.Builder
			src.WriteString(pattern[0])
			for i := range n {
				fmt.Fprintf(&src, pattern[1], 100000+i)
			}
			src.WriteString(pattern[2])
			tx := newText(chunk{data: []byte(src.String()), line: 1})
			roots, bad := decode(tx, limits{depth: 10, nodes: 1 << 20})
			if bad != nil {
				t.Fatal(bad)
			}
			value := roots[0].Content[1]
			inner := tx.inner(value)
			for i := range n {
				word := fmt.Sprint(100000 + i*7919%n)
				at, exact := inner.place(strings.Index(value.Value, word), len(word))
				if !exact || !strings.HasPrefix(src.String()[at:], word) {
					t.Fatalf("%s is at %d, exact %v", word, at, exact)
				}
			}
		})
	}
}

// TestColumnsLong looks up columns of a long line forwards and backwards.
func TestColumnsLong(t *testing.T) {
	line := strings.Repeat("é", 3*markEvery+5)
	tx := newText(chunk{data: []byte("x\n" + line), line: 1})
	for _, column := range []int{1, 3*markEvery + 2, markEvery, markEvery + 1, markEvery + 2, 2*markEvery + 7, 1, 3 * markEvery} {
		if got, want := tx.columnOffset(2, column), 2+2*(column-1); got != want {
			t.Errorf("column %d is at %d, want %d", column, got, want)
		}
	}
}
