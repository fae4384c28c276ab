package scan

import (
	"bytes"
	"strings"

	"gopkg.in/yaml.v3"
)

// image judges what stands under a key that promises an image. Forms of containers take every valid reference, the
// others what [judgeField] takes.
func (w *walker) image(n *yaml.Node, form Form, f fields, s scope) {
	n = resolve(n)
	if n == nil || !w.enter(&s) {
		return
	}
	switch {
	case n.Kind == yaml.SequenceNode:
		for i, e := range n.Content {
			w.image(e, form, f, s.element(i))
		}
	case n.Kind == yaml.MappingNode:
		if v, off, is := templateAt(n, s.src); is {
			w.unfilled(s.src, off, v, form, s)
			return
		}
		s.depth--
		w.visits--
		w.node(n, s)
	case !isText(n):
		if form != FormField {
			w.invalid(n, form, s)
		}
	case isUpperName(s.key):
		w.variable(s.key, n, s)
	case strings.ContainsAny(n.Value, "\n{[") && !isPlaceholder(n.Value):
		s.depth--
		w.visits--
		w.scalar(n, s)
	default:
		w.reference(n, form, f, s)
	}
}

// reference judges one scalar that is to be one reference.
func (w *walker) reference(n *yaml.Node, form Form, f fields, s scope) {
	v := strings.TrimSpace(n.Value)
	off := strings.Index(n.Value, v)
	if i := strings.LastIndexByte(v, '='); i > 0 && isReferenceText(v[:i]) && strong(v[i+1:]) {
		off, v = off+i+1, v[i+1:] // old=new, the way images are replaced in lists of overrides
	}
	verdict := judgeField(v)
	if form != FormField && form != FormRelated && verdict != placeholder {
		switch _, ok := parseName(v); {
		case ok:
			verdict = take
		case v != "" || w.object.builtin && form != FormVolume && s.level == 0:
			w.invalid(n, form, s)
			return
		}
	}
	w.decide(verdict, s.src.inner(n), off, v, form, f, s)
}

// decide does what a verdict says with the text v at off of t.
func (w *walker) decide(verdict verdict, t *text, off int, v string, form Form, f fields, s scope) {
	switch verdict {
	case take:
		if rest, is := strings.CutPrefix(v, dockerScheme); is {
			off, v = off+len(dockerScheme), rest
		}
		w.take(t, off, v, form, f, s)
	case unclear:
		w.doubt(t, off, v, form, f, s)
	case placeholder:
		w.unfilled(t, off, v, form, s)
	}
}

// invalid records an image field of a pod spec whose value no kubelet can use. In custom resources such a value may be
// a pattern, so nothing is said there.
func (w *walker) invalid(n *yaml.Node, form Form, s scope) {
	if !w.object.builtin || s.level > 0 {
		return
	}
	msg := quote(n.Value) + " is no image reference"
	if n.Value == "" {
		msg = "the image is empty"
	}
	t := s.src.inner(n)
	w.warn(t, 0, len(t.raw), s, Warning{Code: CodeInvalid, Class: w.class(form, s), Message: msg,
		Advice: "write registry/repository:tag in lower case, or add the image by hand if something else fills it in"})
}

// templateAt knows a value like {{ .Values.image }} without quotes, which YAML reads as a mapping whose key is a mapping,
// and gives it as written.
func templateAt(n *yaml.Node, t *text) (v string, off int, is bool) {
	if n.Style&yaml.FlowStyle == 0 || t.json {
		return "", 0, false
	}
	off = t.start(n)
	line := t.raw[min(off, len(t.raw)):]
	if !bytes.HasPrefix(line, []byte("{{")) {
		return "", 0, false
	}
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	return string(bytes.TrimSpace(line)), off, true
}

// scalar judges a value that stands in no special place: a complete reference is an image, and a text may hold YAML or
// JSON itself.
func (w *walker) scalar(n *yaml.Node, s scope) {
	v := n.Value
	if len(v) < 5 || !isText(n) {
		return
	}
	switch {
	case strings.IndexByte(v, '\n') >= 0, v[0] == '{', v[0] == '[':
		w.embedded(n, s)
	case strong(v):
		w.take(s.src.inner(n), 0, v, FormScalar, nil, s)
	case strings.Contains(v, "://"):
		w.decide(judgeURL(v), s.src.inner(n), 0, v, FormScalar, nil, s)
	case strings.Contains(v, "="):
		if i := strings.LastIndexByte(v, '='); strong(v[i+1:]) && isReferenceText(v[:i]) {
			w.take(s.src.inner(n), i+1, v[i+1:], FormScalar, nil, s)
		}
	}
}

// target looks at keys named tag: a complete reference there is what a build is to make.
func (w *walker) target(n *yaml.Node, s scope) {
	switch n.Kind {
	case yaml.SequenceNode:
		for i, e := range n.Content {
			if e = resolve(e); e != nil && w.enter(&scope{}) && e.Kind == yaml.ScalarNode {
				w.target(e, s.element(i))
			}
		}
	case yaml.ScalarNode:
		if isText(n) && strong(n.Value) {
			w.doubt(s.src.inner(n), 0, n.Value, FormField, nil, s)
		}
	}
}

// annotations looks at the annotations of pod templates, where sidecar injectors look for images. Those of everything
// else document; the ones that look like images are named in a warning.
func (w *walker) annotations(n *yaml.Node, s scope) {
	if n.Kind != yaml.MappingNode || !w.enter(&s) {
		return
	}
	meta := s.path.up // .metadata
	inTemplate := meta.up == nil && w.object.Kind == "Pod" || meta.up != nil && meta.up.key == "template"
	for _, p := range w.fields(n, s.depth) {
		if !isText(p.value) || !imageKey(p.key) || judgeField(p.value.Value) != take {
			continue
		}
		t, at := s.src.inner(p.value), s.at(p.key)
		if inTemplate {
			w.decide(take, t, 0, p.value.Value, FormAnnotation, nil, at)
		} else if strings.Contains(p.key, "/") {
			w.doubt(t, 0, p.value.Value, FormAnnotation, nil, at)
		}
	}
}
