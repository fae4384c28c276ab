package scan

import (
	"slices"
	"strings"
)

// mentionsImage reports whether a text can name an image, without parsing it. Dashboards,
// rules, certificates and most scripts cannot.
func mentionsImage(v string) bool {
	if strings.Contains(v, "mage") || strings.Contains(v, "MAGE") || strings.Contains(v, "containers") || strings.Contains(v, "@sha256:") {
		return true
	}
	for i := 0; i < len(v); {
		if !referenceByte(v[i]) {
			i++
			continue
		}
		end := i
		for end < len(v) && referenceByte(v[end]) {
			end++
		}
		if word := v[i:end]; strings.IndexByte(word, '/') > 0 && strings.IndexByte(word, ':') > 0 && strong(strings.TrimRight(word, ".,:-]")) {
			return true
		}
		i = end
	}
	return false
}

// judgeText judges a text that is neither YAML nor JSON. A line counts when it assigns to a
// name that promises an image (image: REF, fooImage = "REF", FOO_IMAGE=REF,
// --foo-image=REF) or is nothing but a complete reference.
func judgeText(raw []byte) []candidate {
	if list, ok := imageList(raw); ok && hasStrong(list) {
		return judgeInnerList(list)
	}
	var found []candidate
	v := string(raw)
	for start, number := 0, 1; start < len(v); number++ {
		end := until(v, start, "\n")
		if c := judgeLine(v[start:end]); c.verdict != ignore {
			c.off, c.line = c.off+start, number
			found = append(found, c)
		}
		start = end + 1
	}
	return found
}

// lineCount returns the number of lines of a text.
func lineCount(v string) int {
	n := strings.Count(v, "\n")
	if v != "" && v[len(v)-1] != '\n' {
		n++
	}
	return n
}

// hasStrong reports whether a line of a list is a complete reference. Inside of another
// document, only that distinguishes an image list from other lists of words.
func hasStrong(list []listLine) bool {
	return slices.ContainsFunc(list, func(l listLine) bool { return strong(l.text) })
}

// judgeInnerList judges the lines of an image list inside of another document.
func judgeInnerList(list []listLine) []candidate {
	var found []candidate
	for _, l := range list {
		if n, ok := parseName(l.text); ok && (n.tag != "" || n.digest != "" || hasHost(l.text)) {
			found = append(found, candidate{verdict: take, form: FormText, text: l.text, off: l.off, length: len(l.text), line: l.number + 1})
		}
	}
	return found
}

// judgeLine judges a line of a text.
func judgeLine(line string) candidate {
	const quotes = "\"'` \t\r,"
	from := skip(line, 0, " \t-\"'")
	if from == len(line) || line[from] == '#' || strings.HasPrefix(line[from:], "//") {
		return candidate{}
	}
	text := func(v verdict, off int, text string) candidate {
		return candidate{verdict: v, form: FormText, text: text, off: off, length: len(text)}
	}
	keyEnd := until(line, from, ":= \t")
	valueAt := skip(line, keyEnd, ":= \t")
	key := strings.TrimRight(line[from:keyEnd], quotes)
	if strings.ContainsAny(line[keyEnd:valueAt], ":=") && imageKey(key) {
		if v := templateValue(line[valueAt:]); isPlaceholder(v) {
			return text(placeholder, valueAt+strings.Index(line[valueAt:], v), v)
		}
		a := skip(line, valueAt, quotes)
		v := line[a:until(line, a, quotes+";")]
		if judgeVariable(key, v) == take {
			return text(take, a, v)
		}
	}
	whole := strings.TrimRight(line, quotes)
	if i := strings.LastIndexByte(whole, '='); i >= from {
		from = i + 1
	}
	if from = skip(whole, from, quotes); from < len(whole) && strong(whole[from:]) {
		return text(take, from, whole[from:])
	}
	return candidate{}
}

// skip returns the first index, from i on, of a byte of s that is not in set.
func skip(s string, i int, set string) int {
	for i < len(s) && strings.IndexByte(set, s[i]) >= 0 {
		i++
	}
	return min(i, len(s))
}

// until returns the first index, from i on, of a byte of s that is in set.
func until(s string, i int, set string) int {
	for i < len(s) && strings.IndexByte(set, s[i]) < 0 {
		i++
	}
	return i
}

// templateValue returns the part of v that may be a template: all of it, because templates
// have white space inside, but without a comment after it and quotes around it.
func templateValue(v string) string {
	if i := strings.Index(v, " #"); i >= 0 {
		v = v[:i]
	}
	return strings.Trim(v, "\"'`, \t\r")
}
