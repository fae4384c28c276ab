package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// embedded reads a text value: as YAML or JSON with the same rules when it is a mapping or a list, line by line when it
// is anything else (templates, properties, scripts).
func (w *walker) embedded(n *yaml.Node, s scope) {
	if s.level >= maxLevel || !mentionsImage(n.Value) {
		return
	}
	t := s.src.inner(n)
	s.level++
	s.path = &path{up: s.path, inner: true}
	s.key, s.item, s.src = "", "", t
	roots, bad := decode(t, w.limits)
	switch {
	case bad == nil && isStructure(roots):
	case strings.HasPrefix(n.Value, "#!"):
		w.shell(n.Value, func() *text { return t }, s, &flagState{})
		return
	default:
		w.lines(t, s)
		return
	}
	for _, r := range roots {
		w.node(r, s)
	}
}

func isStructure(roots []*yaml.Node) bool {
	for _, r := range roots {
		if r.Kind == yaml.MappingNode || r.Kind == yaml.SequenceNode {
			return true
		}
	}
	return false
}

// mentionsImage spares the parser texts without any image in them: dashboards, rules, certificates, most scripts.
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

// lines reads a text that is no structure. A line counts when it assigns to a name that promises an image (image: REF,
// fooImage = "REF", FOO_IMAGE=REF, --foo-image=REF) or is nothing but a complete reference.
func (w *walker) lines(t *text, s scope) {
	if list, ok := imageList(t.raw); ok && w.innerList(t, list, s) {
		return
	}
	number := 0
	v := string(t.raw)
	for start := 0; start < len(v); number++ {
		end := len(v)
		if i := strings.IndexByte(v[start:], '\n'); i >= 0 {
			end = start + i
		}
		at := s
		at.path = &path{up: s.path, line: number + 1}
		w.visits++
		w.line(t, start, v[start:end], at)
		start = end + 1
	}
}

// innerList takes the lines of a text that is an image list itself, which at least one complete reference has to show.
func (w *walker) innerList(t *text, list []listLine, s scope) bool {
	for i, l := range list {
		if strong(l.text) {
			break
		}
		if i == len(list)-1 {
			return false
		}
	}
	for _, l := range list {
		at := s
		at.path = &path{up: s.path, line: l.number + 1}
		if n, ok := parseName(l.text); ok && (n.tag != "" || n.digest != "" || hasHost(l.text)) {
			w.take(t, l.off, l.text, FormText, nil, at)
		}
	}
	return true
}

// line judges one line, which begins at start of t.
func (w *walker) line(t *text, start int, line string, s scope) {
	const quotes = "\"'` \t\r,"
	from := skip(line, 0, " \t-\"'")
	if from == len(line) || line[from] == '#' || strings.HasPrefix(line[from:], "//") {
		return
	}
	keyEnd := until(line, from, ":= \t")
	valueAt := skip(line, keyEnd, ":= \t")
	key := strings.TrimRight(line[from:keyEnd], quotes)
	if strings.ContainsAny(line[keyEnd:valueAt], ":=") && imageKey(key) {
		if v := templateValue(line[valueAt:]); isPlaceholder(v) {
			w.unfilled(t, start+valueAt+strings.Index(line[valueAt:], v), v, FormText, s)
			return
		}
		a := skip(line, valueAt, quotes)
		v := line[a:until(line, a, quotes+";")]
		if judgeVariable(key, v) == take {
			w.decide(take, t, start+a, v, FormText, nil, s)
			return
		}
	}
	whole := strings.TrimRight(line, quotes)
	if i := strings.LastIndexByte(whole, '='); i >= from {
		from = i + 1
	}
	if from = skip(whole, from, quotes); from < len(whole) && strong(whole[from:]) {
		w.take(t, start+from, whole[from:], FormText, nil, s)
	}
}

// skip gives the first index from i on at which s has a byte that is not in set.
func skip(s string, i int, set string) int {
	for i < len(s) && strings.IndexByte(set, s[i]) >= 0 {
		i++
	}
	return min(i, len(s))
}

// until gives the first index from i on at which s has a byte that is in set.
func until(s string, i int, set string) int {
	for i < len(s) && strings.IndexByte(set, s[i]) < 0 {
		i++
	}
	return i
}

// templateValue is a value for the test whether it is a template: all of it, as templates have white space inside, but
// without a comment behind it and without quotes around it.
func templateValue(v string) string {
	if i := strings.Index(v, " #"); i >= 0 {
		v = v[:i]
	}
	return strings.Trim(v, "\"'`, \t\r")
}
