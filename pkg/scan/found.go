package scan

import "strings"

// found is an image with what is not for users: what the accounts of other documents add later, and where to edit.
type found struct {
	Reference
	pod    *pod
	offset int    // in the document
	base   int64  // of the document in the input
	length int    // of the text
	exact  bool   // the text stands at offset, byte for byte
	tag    string // as written
	digest string
}

// take records the reference text that stands at off of t. f are the fields beside it, for the pull policy.
func (w *walker) take(t *text, off int, ref string, form Form, f fields, s scope) {
	n, ok := parseName(ref)
	if !ok || w.opts.excluded(n.full, ref) {
		return
	}
	at, exact := 0, false
	if end := off + len(ref); off >= 0 && end <= len(t.raw) && string(t.raw[off:end]) == ref {
		at, exact = t.place(off, len(ref))
	} else {
		at, _ = t.place(0, len(t.raw))
	}
	w.record(t, at, exact, n, ref, form, f, s)
}

func (w *walker) record(t *text, at int, exact bool, n name, ref string, form Form, f fields, s scope) {
	img := found{pod: s.pod, offset: at, base: t.top().offset, length: len(ref), exact: exact, tag: n.tag, digest: n.digest}
	img.Reference = Reference{
		Name: strings.Clone(n.full), Text: strings.Clone(ref), Form: form, Class: w.class(form, s),
		Position: w.position(t, at), Object: w.object.Object, Field: s.path.String(), Container: s.container,
		PullPolicy: pullPolicy(f), ClusterInternal: clusterInternal(n.domain),
	}
	if s.pod != nil && s.pod.windows {
		img.OS = "windows"
	}
	if w.opts.Only != "" && w.opts.Only != img.Class {
		return
	}
	w.out.images = append(w.out.images, img)
	w.warnImage(img, n)
	w.counted()
}

// counted stops the walk when there are too many findings.
func (w *walker) counted() {
	if len(w.out.images)+len(w.out.warnings) > w.limits.findings && w.exceeded == "" {
		w.exceeded = LimitFindings
	}
}

// class says whether a kubelet pulls what stands here once the object is applied.
func (w *walker) class(form Form, s scope) Class {
	if form == FormList {
		return Required
	}
	if s.level > 0 {
		return Indirect
	}
	switch form {
	case FormContainer, FormInit, FormEphemeral, FormVolume:
		if w.object.builtin && s.pod != nil {
			return Required
		}
	case FormField:
	default:
		return Indirect
	}
	for _, p := range w.object.paths {
		if below(s.path, p) {
			return Required
		}
	}
	return Indirect
}

func (w *walker) position(t *text, at int) Position {
	line, column := t.position(at)
	return Position{File: w.file, Line: line, Column: column}
}

// doubt records a value that could be an image. Options.Include makes it one.
func (w *walker) doubt(t *text, off int, ref string, form Form, f fields, s scope) {
	bare := strings.TrimPrefix(strings.TrimPrefix(ref, dockerScheme), "oci://")
	n, ok := parseName(bare)
	if !ok || w.opts.excluded(n.full, ref) {
		return
	}
	off += len(ref) - len(bare)
	if w.opts.included(n.full, bare) {
		w.take(t, off, bare, form, f, s)
		return
	}
	w.warn(t, off, len(bare), s, Warning{
		Code: CodeUnclear, Class: w.class(form, s), Message: quote(ref) + " may be an image, but could as well be something else; it is not taken",
		Advice: "if it is one, include it: " + n.full, Name: n.full,
	})
}

// unfilled records a placeholder.
func (w *walker) unfilled(t *text, off int, v string, form Form, s scope) {
	w.warn(t, off, len(v), s, Warning{
		Code: CodePlaceholder, Class: w.class(form, s), Message: quote(v) + " is a placeholder, not an image",
		Advice: "fill it in (render the template) and scan the result, or name the image by hand",
	})
}

// warn completes a warning with the place of a range of t and records it.
func (w *walker) warn(t *text, off, length int, s scope, warning Warning) {
	at, _ := t.place(off, length)
	warning.Position = w.position(t, at)
	warning.Object, warning.Field, warning.Container = w.object.Object, s.path.String(), s.container
	w.out.warnings = append(w.out.warnings, warning)
	w.counted()
}

// quote shows a value of a manifest in a message: on one line, and not endless.
func quote(v string) string {
	v = strings.Join(strings.Fields(v), " ")
	if len(v) > 100 {
		v = strings.ToValidUTF8(v[:97], "") + "..."
	}
	return `"` + v + `"`
}
