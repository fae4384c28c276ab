package scan

import (
	"bytes"
	"sort"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// text is what nodes were parsed from: a document of the input, or the value of a scalar that holds YAML or JSON itself.
// It turns positions in values into offsets of the input. Not safe for concurrent use.
type text struct {
	raw  []byte
	json bool // nodes carry offsets

	// At the top:
	offset       int64 // of raw in the input
	line, column int   // of raw's first byte: line from 1, column from 0
	breaks       []int // offsets of the newlines in raw, made when first needed

	// Below:
	parent *text
	cursor *cursor // in parent, over the scalar whose value raw is

	lines   []int         // offsets of the lines as YAML counts them, made when first needed
	columns map[int][]int // offsets of every markEvery-th column of long lines, by line
}

func newText(c chunk) *text {
	return &text{raw: c.data, offset: c.offset, line: c.line, column: c.column}
}

// inner is the text of a scalar of t.
func (t *text) inner(n *yaml.Node) *text {
	return &text{raw: []byte(n.Value), parent: t, cursor: newCursor(t, n)}
}

// place turns a range of t into the offset in the input at which the same bytes stand. exact is false when they do
// not stand anywhere in one piece; then the offset is that of the innermost value that holds them.
func (t *text) place(off, length int) (at int, exact bool) {
	exact = off+length <= len(t.raw)
	if !exact { // a reference put together from several values
		off, length = 0, 0
	}
	for t.parent != nil {
		next, ok := t.cursor.find(off)
		end := next + length
		if !ok || end > len(t.parent.raw) || !bytes.Equal(t.parent.raw[next:end], t.raw[off:off+length]) {
			next, length, exact = t.cursor.start, 0, false
		}
		t, off = t.parent, next
	}
	return off, exact
}

// position gives line (from 1) and column (from 1, in bytes) of an offset that place gave.
func (t *text) position(off int) (line, column int) {
	t = t.top()
	if t.breaks == nil {
		t.breaks = []int{}
		for i, c := range t.raw {
			if c == '\n' {
				t.breaks = append(t.breaks, i)
			}
		}
	}
	n := sort.SearchInts(t.breaks, off) // newlines before off
	if n == 0 {
		return t.line, t.column + off + 1
	}
	return t.line + n, off - t.breaks[n-1]
}

func (t *text) top() *text {
	for t.parent != nil {
		t = t.parent
	}
	return t
}

// start gives the offset of a node's first byte, which may be that of an anchor or a tag.
func (t *text) start(n *yaml.Node) int {
	if t.json {
		return n.Column
	}
	return t.columnOffset(n.Line, n.Column)
}

// columnOffset turns a line and a column of the YAML parser, both from 1, into an offset. The parser counts characters.
// A document may be one line of many megabytes, so the offsets of some columns of long lines are remembered.
func (t *text) columnOffset(line, column int) int {
	if line < 1 || column < 1 {
		return 0
	}
	at, col := t.lineStart(line), 1
	marks := t.columns[line]
	if n := min((column-1)/markEvery, len(marks)); n > 0 {
		at, col = marks[n-1], n*markEvery+1
	}
	for col < column && at < len(t.raw) {
		_, width := utf8.DecodeRune(t.raw[at:])
		at += width
		col++
		if (col-1)%markEvery == 0 && (col-1)/markEvery == len(marks)+1 {
			marks = append(marks, at)
		}
	}
	if len(marks) > len(t.columns[line]) {
		if t.columns == nil {
			t.columns = map[int][]int{}
		}
		t.columns[line] = marks
	}
	return at
}

// lineStart gives the offset of a line, from 1, as the YAML parser counts: besides LF and CRLF it knows CR, NEL, LS, PS.
func (t *text) lineStart(line int) int {
	if t.lines == nil {
		t.lines = []int{0}
		for i := 0; i < len(t.raw); i++ {
			switch c := t.raw[i]; {
			case c == '\n',
				c == '\r' && (i+1 == len(t.raw) || t.raw[i+1] != '\n'),
				c == 0x85 && i > 0 && t.raw[i-1] == 0xC2,
				(c == 0xA8 || c == 0xA9) && i > 1 && t.raw[i-1] == 0x80 && t.raw[i-2] == 0xE2:
				t.lines = append(t.lines, i+1)
			}
		}
	}
	return t.lines[min(max(line-1, 0), len(t.lines)-1)]
}

// cursor walks along the source of a scalar and its value at once. Folding, chomping and indentation only ever change
// white space, so the n-th other byte of the value is the n-th other byte of the source, once escapes are counted as what
// they stand for. Lookups that go forward cost no more than the way between them, those that go back at most markEvery.
type cursor struct {
	raw   []byte
	value string
	style yaml.Style
	start int      // of the content in raw: behind quote, anchor, tag and block header
	v, s  int      // where it stands in value and raw
	marks [][2]int // v and s at the first character from each multiple of markEvery on
}

// markEvery is the distance in bytes of the places a lookup can begin at. Without them, a text of some megabytes with
// aliases could cost hours.
const markEvery = 4 << 10

func newCursor(t *text, n *yaml.Node) *cursor {
	c := &cursor{raw: t.raw, value: n.Value, style: n.Style}
	c.start = contentStart(t.raw, t.start(n), n)
	c.s = c.start
	return c
}

// find gives the offset in raw of the byte at off of the value.
func (c *cursor) find(off int) (int, bool) {
	if off < c.v {
		c.v, c.s = 0, c.start
	}
	if mark := off / markEvery; mark > c.v/markEvery && mark <= len(c.marks) {
		c.v, c.s = c.marks[mark-1][0], c.marks[mark-1][1]
	}
	for next := (c.v/markEvery + 1) * markEvery; next <= off; next += markEvery {
		at := next
		for at < off && !utf8.RuneStart(c.value[at]) {
			at++
		}
		if !c.forward(at) {
			return 0, false
		}
		if len(c.marks) == next/markEvery-1 {
			c.marks = append(c.marks, [2]int{c.v, c.s})
		}
	}
	ok := c.forward(off)
	return c.s, ok
}

// forward goes on to the byte at off of the value.
func (c *cursor) forward(off int) bool {
	skip := 0
	for ; c.v < off; c.v++ {
		if !isSpace(c.value[c.v]) {
			skip++
		}
	}
	for skip > 0 || off < len(c.value) && !isSpace(c.value[off]) {
		solid, width := c.unit()
		if width == 0 || solid > skip && skip > 0 {
			return false
		}
		if skip == 0 && solid > 0 {
			return true
		}
		skip -= solid
		c.s += width
	}
	return true
}

// unit looks at the next piece of the source: how many bytes other than white space it stands for, and its width.
func (c *cursor) unit() (solid, width int) {
	if c.s >= len(c.raw) {
		return 0, 0
	}
	b := c.raw[c.s]
	switch {
	case isSpace(b):
		return 0, 1
	case b == '\\' && c.style&yaml.DoubleQuotedStyle != 0:
		r, width := unescape(c.raw[c.s:])
		if r < utf8.RuneSelf && isSpace(byte(r)) {
			return 0, width
		}
		return max(utf8.RuneLen(r), 1), width
	case b == '\'' && c.style&yaml.SingleQuotedStyle != 0:
		return 1, 2
	}
	return 1, 1
}

// contentStart skips a node's properties (anchor, tag) and the quote or the header line of its scalar.
func contentStart(raw []byte, at int, n *yaml.Node) int {
	for at < len(raw) && (raw[at] == '&' && n.Anchor != "" || raw[at] == '!' && n.Style&yaml.TaggedStyle != 0) {
		for at < len(raw) && !isSpace(raw[at]) {
			at++
		}
		for at < len(raw) && isSpace(raw[at]) {
			at++
		}
	}
	switch {
	case at >= len(raw):
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		at++
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		if i := bytes.IndexAny(raw[at:], "\r\n"); i >= 0 {
			at += i
		}
	}
	return min(at, len(raw))
}
