package manifest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// cursor walks once over JSON that is known to be valid. It allocates only what its caller
// keeps: a value that is skipped costs nothing, however large it is.
//
// It reads as encoding/json does, with which containerd and Docker read: a key matches in
// any letter case, and null leaves a value unset. But a known key that appears twice in an
// object is an error: encoding/json takes the last one, others the first, and readers that
// mind the letter case take another one still.
type cursor struct {
	raw []byte
	i   int
}

// newCursor returns a cursor at the start of raw, or the syntax error in it.
func newCursor(raw []byte) (*cursor, error) {
	if !json.Valid(raw) {
		return nil, json.Unmarshal(raw, new(struct{}))
	}
	return &cursor{raw: raw}, nil
}

// peek returns the first byte of the next value, after white space.
func (c *cursor) peek() byte {
	for c.raw[c.i] == ' ' || c.raw[c.i] == '\n' || c.raw[c.i] == '\r' || c.raw[c.i] == '\t' {
		c.i++
	}
	return c.raw[c.i]
}

// null passes over the value and reports true if it is null.
func (c *cursor) null() bool {
	if c.peek() != 'n' {
		return false
	}
	c.i += len("null")
	return true
}

// literal passes over a string and returns it with its quotes.
func (c *cursor) literal() []byte {
	start := c.i
	for c.i++; c.raw[c.i] != '"'; c.i++ {
		if c.raw[c.i] == '\\' {
			c.i++
		}
	}
	c.i++
	return c.raw[start:c.i]
}

// skip passes over the next value and returns its text.
func (c *cursor) skip() []byte {
	c.peek()
	start := c.i
	for depth := 0; ; {
		switch c.peek() {
		case '"':
			c.literal()
		case '{', '[':
			depth++
			c.i++
		case '}', ']':
			depth--
			c.i++
		case ',', ':':
			c.i++
		default: // a number, true, false or null
			for c.i++; c.i < len(c.raw) && bytes.IndexByte([]byte(",]} \n\r\t"), c.raw[c.i]) < 0; c.i++ {
			}
		}
		if depth == 0 {
			return c.raw[start:c.i]
		}
	}
}

// object reads an object. For each key of known it calls read with the key as it is in
// known; a value that read leaves alone is skipped, as those of other keys are.
func (c *cursor) object(what string, known []string, read func(key string) error) error {
	switch {
	case c.null():
		return nil
	case c.peek() != '{':
		return fmt.Errorf("%s is not an object", what)
	}
	var met uint64
	for c.i++; c.peek() != '}'; {
		k := fold(known, c.literal())
		c.peek()
		c.i++ // the colon
		c.peek()
		if at := c.i; k >= 0 {
			if met&(1<<k) != 0 {
				return &DescriptorError{&RepeatedKeyError{what, known[k]}}
			}
			met |= 1 << k
			if err := read(known[k]); err != nil {
				return err
			}
			if c.i == at {
				c.skip()
			}
		} else {
			c.skip()
		}
		c.comma()
	}
	c.i++
	return nil
}

// members calls read for each value of an object.
func (c *cursor) members(read func() error) error {
	if c.peek() != '{' {
		return errors.New("not an object")
	}
	for c.i++; c.peek() != '}'; c.comma() {
		c.literal()
		c.peek()
		c.i++ // the colon
		c.peek()
		if err := read(); err != nil {
			return err
		}
		c.skip()
	}
	c.i++
	return nil
}

// comma passes over a comma, if there is one.
func (c *cursor) comma() {
	if c.peek() == ',' {
		c.i++
		c.peek()
	}
}

// maxEscaped is the length of the longest literal that can be a known key: each letter
// may be written as \u0000.
const maxEscaped = 6*64 + 2

// fold returns the index of the known key that a literal equals in any letter case, or -1.
func fold(known []string, literal []byte) int {
	if len(literal) > maxEscaped {
		return -1
	}
	name := literal[1 : len(literal)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		var s string
		if json.Unmarshal(literal, &s) != nil {
			return -1
		}
		name = []byte(s)
	}
	for k, want := range known {
		if len(name) >= len(want) && (name[0]|0x20 == want[0]|0x20 || name[0] >= 0x80) && bytes.EqualFold(name, []byte(want)) {
			return k
		}
	}
	return -1
}

// annotations reads an object of strings. Keys are compared as they are. It calls keep
// with those of known, and returns false when a value is not a string: containerd cannot
// decode it.
func (c *cursor) annotations(what string, known []string, keep func(key string, literal []byte) error) (ok bool, err error) {
	if c.null() {
		return true, nil
	}
	if c.peek() != '{' {
		c.skip()
		return false, nil
	}
	ok = true
	var met uint64
	for c.i++; c.peek() != '}'; c.comma() {
		k := exact(known, c.literal())
		c.peek()
		c.i++ // the colon
		text := c.peek() == '"'
		ok = ok && (text || c.raw[c.i] == 'n')
		value := c.skip()
		if k < 0 {
			continue
		}
		if met&(1<<k) != 0 {
			return false, &DescriptorError{&RepeatedKeyError{what, known[k]}}
		}
		met |= 1 << k
		if err := keep(known[k], value); err != nil {
			return false, err
		}
	}
	c.i++
	return ok, nil
}

// exact returns the index of the known key that a literal equals, or -1.
func exact(known []string, literal []byte) int {
	k := fold(known, literal)
	if k < 0 {
		return -1
	}
	var s string
	if json.Unmarshal(literal, &s) != nil || s != known[k] {
		return -1
	}
	return k
}

// list reads an array and calls read for each element. more is called instead of read for
// the first element after most.
func (c *cursor) list(what string, most int, read func() error) error {
	switch {
	case c.null():
		return nil
	case c.peek() != '[':
		return fmt.Errorf("%s is not a list", what)
	}
	n := 0
	for c.i++; c.peek() != ']'; c.comma() {
		if n++; n > most {
			return descriptorErrorf("more than %d in %s", most, what)
		}
		at := c.i
		if err := read(); err != nil {
			return err
		}
		if c.i == at {
			c.skip()
		}
	}
	c.i++
	return nil
}

// text reads a string of at most most bytes.
func (c *cursor) text(what string, most int) (string, error) {
	switch {
	case c.null():
		return "", nil
	case c.peek() != '"':
		return "", fmt.Errorf("%s is not a string", what)
	}
	literal := c.literal()
	if len(literal) > 6*most+2 {
		return "", descriptorErrorf("%s of more than %d bytes", what, most)
	}
	s, err := unquote(literal)
	if err == nil && len(s) > most {
		err = descriptorErrorf("%s of %d bytes, the limit is %d", what, len(s), most)
	}
	return s, err
}

// unquote returns the string that a literal stands for, "" for null.
func unquote(literal []byte) (s string, err error) {
	err = json.Unmarshal(literal, &s)
	return s, err
}

// texts reads a list of strings and returns the first few of them.
func (c *cursor) texts(what string, few, most int) (out []string, err error) {
	err = c.list(what, len(c.raw), func() error {
		if len(out) < few {
			s, err := c.text(what, most)
			out = append(out, s)
			return err
		}
		if !c.null() && c.peek() != '"' {
			return fmt.Errorf("%s are not strings", what)
		}
		return nil
	})
	return out, err
}

// number reads an integer.
func (c *cursor) number(what string) (int64, error) {
	if c.null() {
		return 0, nil
	}
	text := c.skip()
	n, err := strconv.ParseInt(string(text[:min(len(text), 32)]), 10, 64)
	if err != nil || len(text) > 32 {
		return 0, fmt.Errorf("%s is not an integer", what)
	}
	return n, nil
}
