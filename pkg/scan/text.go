package scan

import (
	"bytes"
	"sort"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// text is the source of nodes: a document of the input, or the value of a scalar that holds
// YAML or JSON itself. It maps positions in values to offsets in the input. It is not safe
// for concurrent use.
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

// inner returns the text of a scalar of t.
func (t *text) inner(n *yaml.Node) *text {
	return &text{raw: []byte(n.Value), parent: t, cursor: newCursor(t, n)}
}

// place maps a range of t to the offset in the input of the same bytes. exact is false when
// they do not stand there in one piece; then the offset is that of the innermost value that
// holds them.
func (t *text) place(off, length int) (at int, exact bool) {
	exact = off+length <= len(t.raw)
	if !exact { // the reference is joined from several values
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

// position returns line (from 1) and column (from 1, in bytes) of an offset that place
// returned.
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

// start returns the offset of a node's first byte, which may belong to an anchor or a tag.
func (t *text) start(n *yaml.Node) int {
	if t.json {
		return n.Column
	}
	return t.columnOffset(n.Line, n.Column)
}

// columnOffset returns the offset of a line and a column of the YAML parser, both from 1.
// The parser counts characters. A document may be one line of many megabytes, so the
// offsets of some columns of long lines are remembered.
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

// lineStart returns the offset of a line, from 1, as the YAML parser counts: besides LF and
// CRLF it knows CR, NEL, LS and PS.
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

// cursor advances in the source of a scalar and in its value at the same time. Folding,
// chomping and indentation only change white space, so the n-th other byte of the value is
// the n-th other byte of the source when an escape counts as what it stands for. A lookup
// costs the distance from the last one when it goes forward, and at most markEvery when it
// goes back.
type cursor struct {
	raw   []byte
	value string
	style yaml.Style
	start int      // of the content in raw: behind quote, anchor, tag and block header
	v, s  int      // where it stands in value and raw
	marks [][2]int // v and s at the first character from each multiple of markEvery on
}

// markEvery is the distance in bytes between the places where a lookup can begin. Without
// them, a text of some megabytes with aliases could cost hours.
const markEvery = 4 << 10

func newCursor(t *text, n *yaml.Node) *cursor {
	c := &cursor{raw: t.raw, value: n.Value, style: n.Style}
	c.start = contentStart(t.raw, t.start(n), n)
	c.s = c.start
	return c
}

// find returns the offset in raw of the byte at off of the value.
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

// forward advances to the byte at off of the value.
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

// unit returns the width of the next piece of the source and how many bytes other than
// white space it stands for.
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

// contentStart returns the offset behind the properties of a node (anchor, tag) and the
// quote or header line of its scalar.
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
