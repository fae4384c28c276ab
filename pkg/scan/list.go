package scan

import (
	"bytes"
	"errors"
	"strings"
)

var errNoReference = errors.New("not an image reference")
var errNoManifest = errors.New("neither a manifest nor an image list")

// listLine is a line of an image list.
type listLine struct {
	number int // from 0
	off    int // of the reference in the document
	text   string
}

// imageList reports whether a document is a plain image list, and returns its lines: each
// holds one word, apart from a comment after it, and at least half of the words are
// references. A list may begin with a YAML marker.
func imageList(src []byte) (lines []listLine, ok bool) {
	good := 0
	number := -1
	for start := 0; start < len(src); {
		end := len(src)
		if i := bytes.IndexByte(src[start:], '\n'); i >= 0 {
			end = start + i
		}
		line := string(src[start:end])
		number++
		word, off, single := listWord(line)
		if word == "---" && len(lines) == 0 {
			word = ""
		}
		if word != "" {
			if !single || strings.HasSuffix(word, ":") || strings.IndexByte("-{[\"'!&*|>?", word[0]) >= 0 && !isPlaceholder(word) {
				return nil, false
			}
			if _, is := parseName(word); is && (strings.ContainsAny(word, "/:@") || isPlainWord(word)) || isPlaceholder(word) {
				good++
			}
			lines = append(lines, listLine{number: number, off: start + off, text: word})
		}
		start = end + 1
	}
	return lines, len(lines) > 0 && good*2 >= len(lines)
}

// listWord returns the only word of a line, without the comment after it. single is false
// when the line has several words.
func listWord(line string) (word string, off int, single bool) {
	off = skip(line, 0, " \t\r")
	end := until(line, off, " \t\r")
	word = line[off:end]
	if strings.HasPrefix(word, "#") {
		return "", 0, true
	}
	rest := skip(line, end, " \t\r")
	return word, off, rest == len(line) || line[rest] == '#'
}

// judgeListLine judges a line of an image list. Anything but a reference or a placeholder
// is an error: a list exists to be complete.
func judgeListLine(l listLine) (candidate, error) {
	c := candidate{verdict: take, form: FormList, text: l.text, off: l.off, length: len(l.text)}
	if _, ok := parseName(l.text); ok {
		return c, nil
	}
	c.verdict = placeholder
	if !isPlaceholder(l.text) {
		return c, errNoReference
	}
	return c, nil
}
