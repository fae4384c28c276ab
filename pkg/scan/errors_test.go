package scan

import (
	"strings"
	"testing"
)

// TestSyntaxErrors keeps the texts and positions of errors. Those of the YAML parser are
// corrected where its text says what to look for.
func TestSyntaxErrors(t *testing.T) {
	checkGolden(t, "errors", []input{
		{name: "tab", src: "a: 1\nb:\n\tc: 1\n"},
		{name: "open quote", src: "a: 1\nb: \"x\nc: 2\n"},
		{name: "open single quote", src: "a: 'x\nb: 1\nc: 'd'\n"},
		{name: "unknown alias", src: "a: 1\nb: [x, *secret]\n"},
		{name: "unknown escape", src: "a: 1\nb: \"\\q\"\n"},
		{name: "indentation", src: "a: 1\n b: 2\n"},
		{name: "outdented", src: "a:\n    b: 1\n  c: 2\nd: 3\n"},
		{name: "key without colon", src: "a:\n  b: 1\n  c\n  d: 1\n"},
		{name: "list in a mapping", src: "a: 1\n- b\nc: 2\n"},
		{name: "mapping in a list", src: "- a\nb: 1\n"},
		{name: "open bracket", src: "a: [1, 2\nb: 3\n"},
		{name: "open brace at the end", src: "a: 1\nb: {c: 1,\n"},
		{name: "closing bracket", src: "a: ]\n"},
		{name: "template directive", src: "a: 1\n{{- if .x }}\nb: 2\n{{- end }}\n"},
		{name: "percent at the start", src: "a: 1\n%b: 2\n"},
		{name: "two colons", src: "a: b: c\n"},
		{name: "control character", src: "a: 1\nb: x\x01y\n"},
		{name: "delete character", src: "a: 1\nb: x\x7fy\n"},
		{name: "no UTF-8", src: "a: 1\nb: \xff\n"},
		{name: "not a character", src: "a: 1\nb: \uFFFE\n"},
		{name: "unknown tag handle", src: "a: !x!y z\n"},
		{name: "future version", src: "%YAML 3.0\n---\na: 1\n"},
		{name: "JSON without a comma", src: "{\"a\": 1\n \"b\": 2}\n"},
		{name: "JSON with a comma too much", src: "{\"a\": [1, 2,],\n \"b\" 2}\n"},
		{name: "JSON with a bad escape", src: "{\"a\": \"\\q\"}\n"},
		{name: "JSON that ends early", src: "{\"a\": {\"b\": 1}"},
		{name: "flow style that is no JSON", src: "{a: 1, 'b': [2, 3,]}\n"},
		{name: "text", src: "some words here\n"},
		{name: "number", src: "42\n"},
		{name: "two roots, one text", src: "a: 1\n--- just some text\n--- {image: demo/a:1}\n"},
		{name: "error between documents", src: "image: demo/a:1\n---\na: [\n---\nimage: demo/b:1\n"},
		{name: "two errors", src: "a: [\n---\nb: \"\n---\nimage: demo/a:1\n"},
		{name: "column after white space", src: "   \n\n  x y\n"},
	})
}

// TestErrorLine splits errors of the parser.
func TestErrorLine(t *testing.T) {
	for text, want := range map[string]struct {
		line int
		msg  string
	}{
		"yaml: line 7: did not find x": {7, "did not find x"}, "yaml: x": {0, "x"}, "yaml: line x: y": {0, "line x: y"}, "x": {0, "x"},
		"yaml: line 7 y": {0, "line 7 y"}, "yaml: unknown anchor 'a' referenced": {0, "unknown anchor 'a' referenced"},
	} {
		if line, msg := errorLine(textError(text)); line != want.line || msg != want.msg {
			t.Errorf("errorLine(%q) = %d, %q", text, line, msg)
		}
	}
}

type textError string

func (e textError) Error() string { return string(e) }

// TestBadByte finds the first byte that YAML does not allow.
func TestBadByte(t *testing.T) {
	for src, want := range map[string]int{
		"": -1, "a\tb\r\n": -1, "é\u0085\u00A0😀\uFEFF": -1, "a\x00": 1, "é\x1b": 2, "a\x7f": 1, "\u0080": 0, "ab\xc3": 2, "\uFFFF": 0, "\xed\xa0\x80": 0,
	} {
		if got := badByte([]byte(src)); got != want {
			t.Errorf("badByte(%q) = %d, want %d", src, got, want)
		}
	}
}

// TestProblemLineOfLargeText keeps the parser's line of a text that is too large to search.
func TestProblemLineOfLargeText(t *testing.T) {
	small := "a:\n" + strings.Repeat("  - x\n", 100) + " b: [\n"
	large := "a:\n" + strings.Repeat("  - x\n", maxSearch/6) + " b: [\n"
	for name, src := range map[string]string{"small": small, "large": large} {
		_, err := scanString(t, Options{}, src)
		if err == nil || !strings.HasPrefix(err.Error(), "in.yaml:") || !strings.Contains(err.Error(), "invalid YAML: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
