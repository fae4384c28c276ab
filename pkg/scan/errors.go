package scan

import (
	"bytes"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// SyntaxError reports a document, or a Secret in it, that could not be read. The result
// holds nothing of that document, and everything of the rest of the input. Err never quotes
// the input, which may hold secrets.
type SyntaxError struct {
	File   string // as given to Scan
	Line   int    // counted from 1 in the whole input
	Column int    // in bytes, from 1
	Err    error
}

// Error returns file:line:column: cause.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("%s:%d:%d: %v", e.File, e.Line, e.Column, e.Err)
}

// Unwrap returns the cause.
func (e *SyntaxError) Unwrap() error { return e.Err }

// Limit names the limit that a [LimitError] reports.
type Limit string

// The limits, see [Options].
const (
	LimitDocument Limit = "document size" // bytes
	LimitDepth    Limit = "depth"         // mappings and sequences inside of one another
	LimitNodes    Limit = "nodes"         // values of one document, aliases followed
	LimitFindings Limit = "findings"      // images and warnings of one document
)

// LimitError reports a document that exceeds a limit of [Options]. The result holds nothing
// of that document, and everything of the rest of the input.
type LimitError struct {
	File  string
	Line  int // where the document begins
	Limit Limit
	Max   int // the limit, in the unit of its kind
}

// Error returns file:line: document exceeds the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s:%d: document exceeds the %s limit of %d", e.File, e.Line, e.Limit, e.Max)
}

// maxSearch is the largest text, in bytes, that is parsed again to find the line of an
// error.
const maxSearch = 256 << 10

// yamlError returns an error of the YAML parser with a position. The parser states the line
// in its text only, and often none, or that of the mapping around the problem; where the
// text says what to look for, yamlError searches for it. All texts of the parser are
// constants except one, which names an anchor: it may be the beginning of a password and is
// not repeated.
func yamlError(t *text, err error) *badText {
	line, msg := errorLine(err)
	anchor, isAnchor := strings.CutPrefix(msg, "unknown anchor '")
	at := t.lineStart(max(line, 1))
	switch {
	case isAnchor:
		anchor, _, _ = strings.Cut(anchor, "'")
		msg = "an alias has no anchor"
		if i := bytes.Index(t.raw, []byte("*"+anchor)); i >= 0 {
			at = i
		}
	case badByte(t.raw) >= 0:
		at = badByte(t.raw)
	case parserProblem(msg):
		at = t.lineStart(problemLine(t, line+1, msg))
	}
	return &badText{offset: at, cause: fmt.Errorf("invalid YAML: %s", msg)}
}

// errorLine splits an error of the parser into its line, or 0, and its text.
func errorLine(err error) (line int, msg string) {
	msg = strings.TrimPrefix(err.Error(), "yaml: ")
	if rest, is := strings.CutPrefix(msg, "line "); is {
		if num, cause, is := strings.Cut(rest, ": "); is {
			if n, err := strconv.Atoi(num); err == nil {
				return n, cause
			}
		}
	}
	return 0, msg
}

// parserProblem reports whether an error comes from the grammar, not from the scanner below
// it. The lines of these errors are one too low, and those of the collection that lacks
// something.
func parserProblem(msg string) bool {
	what, is := strings.CutPrefix(msg, "did not find expected ")
	if !is {
		return false
	}
	switch what {
	case "node content", "'-' indicator", "key", "',' or ']'", "',' or '}'", "<document start>":
		return true
	}
	return false
}

// problemLine returns the first line that shows the problem: the end of the shortest prefix
// of the text, from the given line on, that fails with the same error. Only people read the
// line, so large texts keep the one they have.
func problemLine(t *text, from int, msg string) int {
	if len(t.raw) > maxSearch {
		return from
	}
	lines := len(t.lines)
	return from + sort.Search(lines-from, func(n int) bool {
		end := len(t.raw)
		if from+n < lines {
			end = t.lines[from+n]
		}
		return problem(t.raw[:end]) == msg
	})
}

// problem parses a text and returns the error text of the parser, or "".
func problem(src []byte) (msg string) {
	defer func() {
		if recover() != nil {
			msg = ""
		}
	}()
	dec := yaml.NewDecoder(bytes.NewReader(src))
	for {
		var n yaml.Node
		switch err := dec.Decode(&n); {
		case err == io.EOF:
			return ""
		case err != nil:
			_, msg = errorLine(err)
			return msg
		}
	}
}

// badByte returns the offset of the first byte that YAML does not allow (YAML 1.2.2, 5.1),
// or -1.
func badByte(src []byte) int {
	for i := 0; i < len(src); {
		c, width := utf8.DecodeRune(src[i:])
		switch {
		case c == utf8.RuneError && width == 1,
			c < ' ' && c != '\t' && c != '\n' && c != '\r',
			0x7F <= c && c < 0xA0 && c != 0x85,
			c == 0xFFFE, c == 0xFFFF:
			return i
		}
		i += width
	}
	return -1
}
