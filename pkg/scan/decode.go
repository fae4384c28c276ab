package scan

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// badText says why a text could not be parsed, and where. It never quotes the text.
type badText struct {
	offset int   // in the text, of the first byte of the line when no more is known
	limit  Limit // set when a limit was exceeded
	cause  error
}

func (e *badText) Error() string { return e.cause.Error() }

// decode parses a text and returns the roots of its documents, also those before an error.
// It sets t.json when the positions in the nodes are those of [parseJSON].
func decode(t *text, l limits) (roots []*yaml.Node, bad *badText) {
	if at, is := jsonStart(t.raw); is {
		n, err := parseJSON(t.raw, at, l.depth, l.nodes)
		if err == nil {
			t.json = true
			return []*yaml.Node{n}, nil
		}
		if errors.Is(err, errTooDeep) {
			return nil, &badText{limit: LimitDepth, cause: err}
		}
		// Flow style with unquoted strings or trailing commas is YAML. When the text is not
		// YAML either and its first key is quoted as in JSON, the JSON error is the better
		// one.
		roots, bad = decodeYAML(t, l)
		var wrong *errJSON
		if bad != nil && bad.limit == "" && errors.As(err, &wrong) && looksJSON(t.raw[at:]) && bad.cause != errTemplate {
			return nil, &badText{offset: wrong.offset, cause: err}
		}
		return roots, bad
	}
	return decodeYAML(t, l)
}

func decodeYAML(t *text, l limits) (roots []*yaml.Node, bad *badText) {
	if nodesAtMost(t.raw) > l.nodes {
		return nil, &badText{limit: LimitNodes, cause: errTooMany}
	}
	defer func() {
		if p := recover(); p != nil {
			bad = &badText{cause: errors.New("the YAML parser failed")}
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(t.raw))
	for {
		n := new(yaml.Node)
		switch err := dec.Decode(n); {
		case err == io.EOF:
			return roots, nil
		case err != nil:
			if at := templateLine(t.raw); at >= 0 {
				return roots, &badText{offset: at, cause: errTemplate}
			}
			return roots, yamlError(t, err)
		}
		if n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
			n = n.Content[0]
		}
		roots = append(roots, n)
		if len(roots) > l.nodes {
			return roots, &badText{limit: LimitNodes, cause: errTooMany}
		}
	}
}

var errTemplate = errors.New(`an unrendered template: render it with "helm template" first`)

// templateLine returns the offset of the first line that begins with an action of a Go
// template, or -1.
func templateLine(src []byte) int {
	for at := 0; at < len(src); {
		line := src[at:]
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			line = line[:i]
		}
		if bytes.HasPrefix(bytes.TrimLeft(line, " \t"), []byte("{{")) {
			return at
		}
		at += len(line) + 1
	}
	return -1
}

// nodesAtMost returns an upper bound of the nodes in a YAML text, in one pass. The parser
// has no limit, and a node takes a hundred times the space of the comma that makes it.
func nodesAtMost(src []byte) int {
	n := 2
	for i, c := range src {
		switch c {
		case ',':
			n += 2
		case '[', '{':
			n++
		case ':', '-', '?':
			if i+1 == len(src) || isSpace(src[i+1]) || c == ':' && i > 0 && (src[i-1] == '"' || src[i-1] == '\'') {
				n += 2
			}
		}
	}
	return n
}

// jsonStart returns the offset of the first significant byte, after a marker and comments,
// and reports whether JSON may begin there.
func jsonStart(src []byte) (int, bool) {
	marker := false
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case isSpace(c):
		case c == '#':
			for i < len(src) && src[i] != '\n' {
				i++
			}
		case c == '-' && !marker && isMarker(src[i:], "---"):
			marker = true
			i += 2
		default:
			return i, c == '{' || c == '['
		}
	}
	return len(src), false
}

// looksJSON reports whether the first significant byte after the bracket fits JSON.
func looksJSON(src []byte) bool {
	src = bytes.TrimLeft(src[1:], " \t\r\n")
	return len(src) > 0 && (src[0] == '"' || src[0] == '{' && !bytes.HasPrefix(src, []byte("{{")))
}

// isSchema reports whether a document is a CustomResourceDefinition in plain block style,
// without parsing it: every line that is not indented is a comment, a marker or a plain
// key, and kind and apiVersion appear exactly once. The parser reads everything else, so
// that a line that only looks like a kind hides nothing.
func isSchema(src []byte) bool {
	kind, api := 0, 0
	for len(src) > 0 {
		line := src
		if i := bytes.IndexByte(src, '\n'); i >= 0 {
			line, src = src[:i], src[i+1:]
		} else {
			src = nil
		}
		if len(line) == 0 || line[0] == ' ' || line[0] == '#' || line[0] == '\r' || isMarker(line, "---") && !hasContent(line[3:]) {
			continue
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 || !isLetters(line[:colon]) {
			return false
		}
		value := string(bytes.TrimSpace(line[colon+1:]))
		switch string(line[:colon]) {
		case "kind":
			if value != "CustomResourceDefinition" {
				return false
			}
			kind++
		case "apiVersion":
			if !strings.HasPrefix(value, "apiextensions.k8s.io/") {
				return false
			}
			api++
		}
	}
	return kind == 1 && api == 1
}

func isLetters(s []byte) bool {
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// utf8Reader removes the byte order mark from r and returns its text as UTF-8. skipped is
// the length of the mark. wide is set for UTF-16, where offsets in the text are not offsets
// in the input. Input without a mark is read as UTF-8; the parsers find bytes that are not.
func utf8Reader(r io.Reader) (out io.Reader, skipped int, wide bool) {
	br := bufio.NewReaderSize(r, 64<<10)
	head, _ := br.Peek(3)
	switch {
	case bytes.HasPrefix(head, []byte{0xEF, 0xBB, 0xBF}):
		_, _ = br.Discard(3)
		return br, 3, false
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}):
		_, _ = br.Discard(2)
		return &utf16Reader{r: br}, 2, true
	case bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		_, _ = br.Discard(2)
		return &utf16Reader{r: br, big: true}, 2, true
	}
	return br, 0, false
}

// utf16Reader decodes UTF-16. An unpaired surrogate and an odd last byte become U+FFFD, as
// in package unicode/utf16.
type utf16Reader struct {
	r    *bufio.Reader
	big  bool
	out  []byte // decoded, not yet read
	back rune   // a unit read too early, or 0
}

// Read implements io.Reader.
func (u *utf16Reader) Read(p []byte) (int, error) {
	for len(u.out) == 0 {
		c, err := u.rune()
		if err != nil {
			return 0, err
		}
		u.out = utf8.AppendRune(u.out[:0], c)
	}
	n := copy(p, u.out)
	u.out = u.out[n:]
	for n < len(p) && u.r.Buffered() >= 4 {
		c, err := u.rune()
		if err != nil {
			return n, nil // the next call returns it
		}
		u.out = utf8.AppendRune(u.out[:0], c)
		m := copy(p[n:], u.out)
		u.out = u.out[m:]
		n += m
	}
	return n, nil
}

func (u *utf16Reader) rune() (rune, error) {
	c, err := u.unit()
	if err != nil || !utf16.IsSurrogate(c) {
		return c, err
	}
	low, err := u.unit()
	if err == nil {
		if pair := utf16.DecodeRune(c, low); pair != utf8.RuneError {
			return pair, nil
		}
		u.back = low
	}
	return utf8.RuneError, nil
}

func (u *utf16Reader) unit() (rune, error) {
	if c := u.back; c != 0 {
		u.back = 0
		return c, nil
	}
	var b [2]byte
	switch _, err := io.ReadFull(u.r, b[:]); err {
	case nil:
	case io.ErrUnexpectedEOF:
		return utf8.RuneError, nil
	default:
		return 0, err
	}
	if u.big {
		return rune(b[0])<<8 | rune(b[1]), nil
	}
	return rune(b[1])<<8 | rune(b[0]), nil
}
