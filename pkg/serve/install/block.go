package install

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// The first and the last line of a block. What is between them, and nothing else in the
// file, was written by this package.
const (
	beginMark = "# BEGIN stowage"
	beginText = `: "load serve --uninstall" removes these lines`
	endMark   = "# END stowage"
)

// origin says what was there before the block. The first line of the block says it too, so
// that removing the block needs no other record.
type origin string

const (
	ofFile      origin = ""                        // a file
	ofUnended   origin = " (ends the line before)" // a file whose last line had no end
	ofNoFile    origin = " (new file)"             // a directory without the file
	ofDirectory origin = " (new directory)"        // no directory
)

var origins = []origin{ofFile, ofUnended, ofNoFile, ofDirectory}

// insertLines returns raw with a block of whole lines at the offset at, the start of a line
// or the end of raw. Each line is indented by the given number of spaces.
func insertLines(raw []byte, at, indent int, o origin, lines []string) []byte {
	var b strings.Builder
	if at == len(raw) && at > 0 && raw[at-1] != '\n' {
		o = ofUnended
		b.WriteByte('\n')
	}
	pad := strings.Repeat(" ", indent)
	fmt.Fprintf(&b, "%s%s%s%s\n", pad, beginMark, o, beginText)
	for _, line := range lines {
		fmt.Fprintf(&b, "%s%s\n", pad, line)
	}
	fmt.Fprintf(&b, "%s%s\n", pad, endMark)
	return insertAt(raw, at, b.String())
}

// insertInline returns raw with a block at the offset at inside a line: the text is in a
// line of its own, and the rest of the line follows in the next one.
func insertInline(raw []byte, at, indent int, text string) []byte {
	pad := strings.Repeat(" ", indent)
	return insertAt(raw, at, fmt.Sprintf(" %s%s\n%s%s %s\n%s", beginMark, beginText, pad, text, endMark, pad))
}

func insertAt(raw []byte, at int, text string) []byte {
	out := make([]byte, 0, len(raw)+len(text))
	return append(append(append(out, raw[:at]...), text...), raw[at:]...)
}

// errUnclosed reports a block without its last line.
var errUnclosed = errors.New(beginMark + " without " + endMark)

// removeBlocks returns raw without its blocks, and what was there before the first of them.
// found is false if there is none.
func removeBlocks(raw []byte) (out []byte, o origin, found bool, err error) {
	out = []byte{} // nil is a file that does not exist
	rest := raw
	for {
		i := bytes.Index(rest, []byte(beginMark))
		if i < 0 {
			return append(out, rest...), o, found, nil
		}
		length, origin, err := blockEnd(rest[i:])
		if err != nil {
			return nil, "", false, err
		}
		if !found {
			o, found = origin, true
		}
		start, tail := i, rest[i+length:]
		line := bytes.LastIndexByte(rest[:i], '\n') + 1
		if len(bytes.Trim(rest[line:i], " ")) == 0 && (line > 0 || len(out) == 0 || out[len(out)-1] == '\n') {
			start = line
			if origin == ofUnended && start > 0 && len(tail) == 0 {
				start-- // what was added after the block keeps its line
			}
		} else { // inside a line: the spaces around belong to the block as well
			start = max(start-1, 0)
			pad := len(tail) - len(bytes.TrimLeft(tail, " "))
			tail = tail[min(indentOf(rest[i:i+length]), pad):]
		}
		out = append(out, rest[:start]...)
		rest = tail
	}
}

// blockEnd returns the length of the block at the start of b, with the end of its last line.
func blockEnd(b []byte) (int, origin, error) {
	first, _, _ := bytes.Cut(b, []byte("\n"))
	o := ofFile
	for _, other := range origins {
		if strings.HasPrefix(string(first), beginMark+string(other)+":") {
			o = other
		}
	}
	end := bytes.Index(b, []byte(endMark))
	again := bytes.Index(b[1:], []byte(beginMark))
	if end < 0 || again >= 0 && again+1 < end {
		return 0, "", errUnclosed
	}
	if i := bytes.IndexByte(b[end:], '\n'); i >= 0 {
		return end + i + 1, o, nil
	}
	return len(b), o, nil
}

// indentOf returns the number of spaces before the last line of a block.
func indentOf(block []byte) int {
	end := bytes.Index(block, []byte(endMark))
	line := block[bytes.LastIndexByte(block[:end], '\n')+1:]
	return len(line) - len(bytes.TrimLeft(line, " "))
}
