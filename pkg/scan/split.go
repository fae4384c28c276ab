package scan

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// chunk is a part of an input that holds one document. It holds several when a document
// ends without a marker at the start of a line.
type chunk struct {
	data   []byte
	offset int64 // of data in the input, in bytes
	line   int   // of data's first line, from 1
	column int   // of data's first byte in its line, from 0: a second JSON value may begin anywhere
	tooBig bool  // data was cut: the document exceeds the limit
}

// splitter cuts a stream at its document markers and holds one document at a time. A line
// that starts with "---" or "..." always ends a document (YAML 1.2.2, 9.1.2), also where it
// seems to stand in a block scalar. JSON values that follow one another without a marker
// are cut too.
type splitter struct {
	r    *bufio.Reader
	max  int // bytes of a document
	done error

	buf     []byte
	start   int64 // offset of buf
	line    int   // line of buf
	column  int   // of buf in its line
	pos     int64 // offset of the next byte read
	posLine int   // line of the next byte read
	lineAt  int64 // offset of that line
	atLine  bool  // the next byte begins a line
	blank   bool  // only white space in this line so far

	content   bool // buf holds more than comments, directives and a marker
	directive bool // buf holds a directive that belongs to the next document
	marker    bool // buf begins with "---"
	tooBig    bool // the rest of this document is dropped
	json      jsonCutter
	out       []chunk
}

func newSplitter(r io.Reader, offset int64, limit int) *splitter {
	return &splitter{r: bufio.NewReaderSize(r, 64<<10), max: limit,
		start: offset, pos: offset, lineAt: offset, line: 1, posLine: 1, atLine: true}
}

// next returns the next chunk, then io.EOF or the error of the reader.
func (s *splitter) next() (chunk, error) {
	for len(s.out) == 0 {
		if s.done != nil {
			return chunk{}, s.done
		}
		piece, err := s.r.ReadSlice('\n')
		s.piece(piece)
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			s.done = err
			s.emit()
		}
	}
	c := s.out[0]
	s.out = s.out[1:]
	return c, nil
}

// piece adds a line, or a part of one that is longer than the buffer.
func (s *splitter) piece(p []byte) {
	if len(p) == 0 {
		return
	}
	if s.atLine {
		switch {
		case isMarker(p, "---"):
			if s.content || !s.directive {
				s.emit()
			}
			s.marker = true
			s.content = hasContent(p[3:])
			s.directive = false
		case isMarker(p, "..."):
			s.emit()
			s.advance(p)
			s.begin()
			return
		case p[0] == '%' && !s.content && !s.marker:
			s.directive = true
			if bytes.HasPrefix(p, []byte("%YAML")) {
				p[0] = '#' // 1.x versions read alike; the parser refuses all but 1.1
			}
		default:
			s.content = s.content || hasContent(p)
		}
		s.blank = isBlank(p)
	} else if s.blank {
		s.content = s.content || hasContent(p)
		s.blank = isBlank(p)
	}
	s.appendJSON(p)
}

// appendJSON appends p to the document, cut where one JSON value ends and another begins.
func (s *splitter) appendJSON(p []byte) {
	for {
		cut := s.json.feed(p)
		if cut < 0 {
			break
		}
		s.append(p[:cut])
		s.emit()
		s.content = true
		p = p[cut:]
	}
	s.append(p)
}

func (s *splitter) append(p []byte) {
	if s.tooBig = s.tooBig || len(s.buf)+len(p) > s.max; !s.tooBig {
		s.buf = append(s.buf, p...)
	}
	s.advance(p)
}

func (s *splitter) advance(p []byte) {
	s.pos += int64(len(p))
	if s.atLine = len(p) > 0 && p[len(p)-1] == '\n'; s.atLine {
		s.posLine++
		s.lineAt = s.pos
	}
}

// emit ends the document read so far.
func (s *splitter) emit() {
	if s.content || s.tooBig {
		s.out = append(s.out, chunk{data: s.buf, offset: s.start, line: s.line, column: s.column, tooBig: s.tooBig})
		s.buf = nil
	}
	s.buf = s.buf[:0]
	s.begin()
	s.content, s.directive, s.marker, s.tooBig = false, false, false, false
	s.json = jsonCutter{}
}

// begin starts the next document at the next byte read.
func (s *splitter) begin() {
	s.start, s.line, s.column = s.pos, s.posLine, int(s.pos-s.lineAt)
}

// isMarker reports whether a line is the given marker, alone or followed by white space.
func isMarker(line []byte, marker string) bool {
	if len(line) < 3 || string(line[:3]) != marker {
		return false
	}
	return len(line) == 3 || isSpace(line[3])
}

// hasContent reports whether a line holds more than white space and a comment.
func hasContent(line []byte) bool {
	for _, c := range line {
		if !isSpace(c) {
			return c != '#'
		}
	}
	return false
}

func isBlank(line []byte) bool {
	for _, c := range line {
		if !isSpace(c) {
			return false
		}
	}
	return true
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\n' || c == '\r' }

// jsonCutter finds the offset where a JSON value ends and the next begins. It stops at the
// first byte that JSON does not allow there: the text may be YAML in flow style, whose
// quotes and comments can hide brackets.
type jsonCutter struct {
	state  jsonState
	depth  int
	quoted bool
	escape bool
}

type jsonState int

const (
	jsonBefore jsonState = iota // only white space so far
	jsonIn
	jsonAfter // the value is complete
	jsonOff   // no JSON
)

// feed reads the next bytes and returns the offset at which another value begins, or -1.
func (j *jsonCutter) feed(p []byte) int {
	if j.state == jsonOff {
		return -1
	}
	for i, c := range p {
		if j.quoted {
			switch {
			case j.escape:
				j.escape = false
			case c == '\\':
				j.escape = true
			case c == '"':
				j.quoted = false
			}
			continue
		}
		if isSpace(c) {
			continue
		}
		opens := c == '{' || c == '['
		switch {
		case j.state == jsonBefore && opens:
			j.state, j.depth = jsonIn, 1
		case j.state == jsonAfter && opens:
			return i
		case j.state != jsonIn || c == '\'' || c == '#':
			j.state = jsonOff
			return -1
		case opens:
			j.depth++
		case c == '"':
			j.quoted = true
		case c == '}' || c == ']':
			if j.depth--; j.depth == 0 {
				j.state = jsonAfter
			}
		}
	}
	return -1
}
