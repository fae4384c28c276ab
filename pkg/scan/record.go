package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// candidate is the answer of a rule about a piece of text: what it is, and where in the
// judged value it stands.
type candidate struct {
	verdict     verdict
	form        Form
	text        string // as written; for FormGroup joined from several fields
	off, length int    // of the range of the value that holds text
	line        int    // of the value, from 1, when it was read line by line, else 0
	policy      string // the pull policy written beside the text
	digest      string // of the image, which stands elsewhere, or ""
}

// whole returns the candidate that a value makes from its first to its last byte.
func whole(v verdict, form Form, value string) candidate {
	return candidate{verdict: v, form: form, text: value, length: len(value)}
}

// found is a reference together with what users do not see: the pod, whose pull secrets
// other documents may complete, and the place that a rewrite edits.
type found struct {
	Reference
	pod    *pod
	offset int   // in the document
	base   int64 // of the document in the input
	exact  bool  // the text stands at offset, byte for byte
	tag    string
	digest string

	running string // digest that the status of its pod has
}

// recorder turns candidates into references and warnings.
type recorder struct {
	file   string
	opts   *Options
	budget *budget
	object object // the one being walked
	out    *docResult

	answers int               // candidates so far, also those that the options drop
	digests map[string]string // that the containers of the pod being walked run, by their names
}

// add records what a rule answered about t, the text of a value.
func (r *recorder) add(c candidate, t *text, s scope) {
	r.answers++
	if c.line > 0 {
		s.path = &path{up: s.path, line: c.line}
	}
	switch {
	case c.verdict == take:
		if rest := withoutScheme(c.text); len(rest) < len(c.text) {
			c.off, c.length, c.text = c.off+len(c.text)-len(rest), len(rest), rest
		}
		r.reference(c, t, s)
	case c.verdict == unclear:
		r.unclear(c, t, s)
	default:
		w := c.warning()
		if c.verdict != alwaysPull {
			w.Class = r.class(c.form, s)
		}
		r.warn(w, t, c.off, c.length, s)
	}
}

// reference records a reference, unless the options exclude it.
func (r *recorder) reference(c candidate, t *text, s scope) {
	n, ok := parseName(c.text)
	if c.digest != "" {
		n, ok = parseName(c.text + "@" + c.digest)
	}
	class := r.class(c.form, s)
	if !ok || r.opts.excluded(n.full, c.text) || r.opts.Only != "" && r.opts.Only != class {
		return
	}
	at, exact := t.place(c.off, c.length)
	f := found{
		pod: s.pod, tag: n.tag, digest: n.digest,
		offset: at, base: t.top().offset, exact: exact && c.form != FormGroup,
	}
	f.Reference = Reference{
		Name: n.full, Text: sameText(n.full, c.text), Form: c.form, Class: class,
		Position: r.position(t, at), Object: r.object.Object, Field: s.path.String(), Container: s.container,
		PullPolicy: c.policy, ClusterInternal: clusterInternal(n.domain),
	}
	f.Early = class == Required && f.ofContainer() && r.object.builtin && r.object.Kind == "DaemonSet" && r.object.Namespace == "kube-system"
	if n.digest == "" && s.level == 0 && f.ofContainer() {
		f.running = r.digests[s.container]
	}
	if s.pod != nil && s.pod.windows {
		f.OS = "windows"
	}
	r.out.images = append(r.out.images, f)
	for _, w := range f.warnings(n) {
		w.Name, w.Position = f.Name, f.Position
		w.Object, w.Field, w.Container = f.Object, f.Field, f.Container
		r.out.warnings = append(r.out.warnings, w)
		r.budget.finding()
	}
	r.budget.finding()
}

// sameText returns the text of a reference, without a copy when it is its name.
func sameText(name, text string) string {
	if text == name {
		return name
	}
	return strings.Clone(text)
}

// unclear records a value that may be an image: as a reference when Options.Include names
// it, else as a warning.
func (r *recorder) unclear(c candidate, t *text, s scope) {
	written := c.text
	c.text = withoutScheme(written)
	n, ok := parseName(c.text)
	if !ok || r.opts.excluded(n.full, written) {
		return
	}
	c.off, c.length = c.off+len(written)-len(c.text), len(c.text)
	if r.opts.included(n.full, c.text) {
		r.reference(c, t, s)
		return
	}
	r.warn(Warning{
		Code: CodeUnclear, Class: r.class(c.form, s), Name: n.full,
		Message: quote(written) + " may be an image or an ordinary value; it is not counted",
		Advice:  "if it is an image, include it: " + n.full,
	}, t, c.off, c.length, s)
}

// warn completes a warning with the place of a range of t and records it.
func (r *recorder) warn(w Warning, t *text, off, length int, s scope) {
	at, _ := t.place(off, length)
	w.Position = r.position(t, at)
	w.Object, w.Field, w.Container = r.object.Object, s.path.String(), s.container
	r.out.warnings = append(r.out.warnings, w)
	r.budget.finding()
}

// fail records an error at an offset of the document; the rest of the document counts.
func (r *recorder) fail(t *text, off int, err error) {
	pos := r.position(t, off)
	r.out.errs = append(r.out.errs, &SyntaxError{File: r.file, Line: pos.Line, Column: pos.Column, Err: err})
}

// position returns the position of an offset that [text.place] returned.
func (r *recorder) position(t *text, at int) Position {
	line, column := t.position(at)
	return Position{File: r.file, Line: line, Column: column}
}

// always records imagePullPolicy: Always, which n holds.
func (r *recorder) always(n *yaml.Node, s scope) {
	t := s.src.inner(n)
	at, exact := t.place(0, len(t.raw))
	r.out.always = append(r.out.always, edit{offset: at, base: t.top().offset, exact: exact,
		Edit: Edit{Position: r.position(t, at), Field: s.path.String(), Old: n.Value, New: "IfNotPresent"}})
	r.warn(Warning{Code: CodePullPolicyAlways,
		Message: "imagePullPolicy Always makes the kubelet ask the registry even when the image is on the node",
		Advice:  "change it to IfNotPresent, as bundle rewrite does"}, t, 0, len(t.raw), s)
}
