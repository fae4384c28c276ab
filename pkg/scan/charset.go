package scan

import (
	"bufio"
	"bytes"
	"io"
	"unicode/utf16"
	"unicode/utf8"
)

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
