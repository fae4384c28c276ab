package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// image walks what stands under a key that promises an image. f are the fields beside it.
// What a pod spec has there always ends as an image or as a warning.
func (w *walker) image(n *yaml.Node, form Form, f fields, s scope) {
	if n = resolve(n); n == nil || !w.budget.visit(s.depth+1) {
		return
	}
	before := w.answers
	switch n.Kind {
	case yaml.MappingNode:
		if v, off, is := templateAt(n, s.src); is {
			w.add(w.rendered(candidate{verdict: placeholder, form: form, text: v, off: off, length: len(v)}, s), s.src, s)
		} else {
			w.node(n, s)
		}
	case yaml.SequenceNode:
		s.depth++
		for i, e := range n.Content {
			w.image(e, form, f, s.element(i))
		}
	case yaml.ScalarNode:
		w.imageText(n, form, f, s)
	}
	if w.answers == before && form.inPod() {
		w.record(n, s, candidate{verdict: notText, form: form})
	}
}

// imageText walks the scalar that stands under a key that promises an image.
func (w *walker) imageText(n *yaml.Node, form Form, f fields, s scope) {
	switch {
	case form.inPod():
		c := whole(invalid, form, n.Value)
		if isText(n) {
			c = w.rendered(judgeReference(n.Value, form), s)
		}
		if c.verdict == invalid && (!w.object.builtin || s.level > 0) {
			c = w.lenient(c)
		}
		c.policy = pullPolicy(f)
		if s.shaped {
			c = w.complete(c, len(n.Value), s)
		}
		w.record(n, s, c)
	case !isText(n):
	case isUpperName(s.key):
		w.variable(s.key, n, s)
	case strings.ContainsAny(n.Value, "\n{[") && !isPlaceholder(n.Value):
		w.scalar(n, s)
	default:
		c := w.rendered(judgeReference(n.Value, form), s)
		c.policy = pullPolicy(f)
		if form == FormField {
			c = w.complete(c, len(n.Value), s)
		}
		w.record(n, s, c)
	}
}

// rendered returns the default of a template in a text, which a controller renders. At the
// top of an input, a template should have been rendered before.
func (w *walker) rendered(c candidate, s scope) candidate {
	if c.verdict == placeholder && s.level > 0 {
		return c.literal()
	}
	return c
}

// lenient judges again what is not a reference where a pod spec needs one, but in a custom
// resource or in a text: an operator fills in what is empty, a policy has patterns there,
// and engines other than a kubelet also read docker://REF.
func (w *walker) lenient(c candidate) candidate {
	if c.text == "" || strings.ContainsAny(c.text, "*|^!") {
		w.answers++
		return candidate{}
	}
	if judgeURL(c.text) == take {
		c.verdict = take
	}
	return c
}

// inPod reports whether a form is that of a field of a pod spec, which the kubelet reads.
func (f Form) inPod() bool {
	switch f {
	case FormContainer, FormInit, FormEphemeral, FormVolume:
		return true
	}
	return false
}
