package scan

import (
	"slices"
	"strings"
)

// mentionsImage reports whether a text can name an image, without parsing it. Dashboards,
// rules, certificates and most scripts cannot.
func mentionsImage(v string) bool {
	if strings.Contains(v, "mage") || strings.Contains(v, "MAGE") || strings.Contains(v, "containers") || strings.Contains(v, "epository") ||
		strings.Contains(v, "@sha256:") {
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
	var open section
	v := string(raw)
	for start, number := 0, 1; start < len(v); number++ {
		end := until(v, start, "\n")
		line := v[start:end]
		before := len(found)
		if found = append(found, judgeArray(line)...); len(found) == before {
			if c := judgeLine(line); c.verdict != ignore {
				found = append(found, c)
			} else if c, ok := open.line(line, start, number); ok {
				found = append(found, c)
				before++ // it has its place
			}
		}
		for ; before < len(found); before++ {
			found[before].off, found[before].line = found[before].off+start, number
		}
		start = end + 1
	}
	return found
}

// section joins the lines NAME_repository and NAME_tag of one section of a text.
type section struct {
	repositories map[string]candidate // by the name before the underscore
	tags         map[string]string
}

// line reads a line at an offset of the text and returns the reference that it completes.
func (s *section) line(line string, start, number int) (c candidate, ok bool) {
	if strings.HasPrefix(strings.TrimSpace(line), "[") {
		*s = section{}
		return c, false
	}
	key, value, is := strings.Cut(line, "=")
	if !is || strings.HasPrefix(strings.TrimSpace(key), "#") {
		return c, false
	}
	key = squash(strings.TrimSpace(key))
	value = strings.Trim(value, " \t\r\"'")
	if s.tags == nil {
		s.repositories, s.tags = map[string]candidate{}, map[string]string{}
	}
	name, is := strings.CutSuffix(key, "repository")
	if is {
		s.repositories[name] = candidate{form: FormGroup, text: value, off: start + strings.LastIndex(line, value), line: number}
	} else if name, is = strings.CutSuffix(key, "tag"); is {
		s.tags[name] = value
	}
	c, known := s.repositories[name]
	if !is || !known || s.tags[name] == "" || !strings.Contains(name, "image") && !strings.Contains(name, "container") && !hasHost(c.text) {
		return c, false
	}
	c.length, c.text, c.verdict = len(c.text), c.text+":"+s.tags[name], take
	n, valid := parseName(c.text)
	return c, valid && strings.Contains(c.text, "/") && n.digest == ""
}

// judgeArray judges a line that assigns a list to a name that promises images:
// images.worker=["a:1", "b:2"].
func judgeArray(line string) []candidate {
	open := strings.IndexByte(line, '[')
	if open < 1 {
		return nil
	}
	key := strings.Trim(line[:open], "\"' \t=:")
	if !imagesKey(key) || strings.ContainsAny(key, " #") {
		return nil
	}
	var found []candidate
	for off, word := range words(line[open+1:], "[]\"', \t\r") {
		if judgeVariable("images", word) == take {
			found = append(found, candidate{verdict: take, form: FormText, text: word, off: open + 1 + off, length: len(word)})
		}
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
	assigns := strings.ContainsAny(line[keyEnd:valueAt], ":=") || valueAt > keyEnd && strings.HasSuffix(key, ".image")
	if assigns && imageKey(key) {
		if v := templateValue(line[valueAt:]); isPlaceholder(v) {
			return text(placeholder, valueAt+strings.Index(line[valueAt:], v), v).literal()
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
