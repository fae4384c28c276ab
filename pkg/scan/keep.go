package scan

import (
	"slices"
	"strings"
)

// place is what distinguishes references apart from their places, with [Options.Distinct].
type place struct {
	name    string
	class   Class
	os      string
	secrets string // namespace, account and secrets of the pod
}

// keep adds what was found in a document, and drops what the options or the caller do not
// ask for.
func (s *Scanner) keep(d *docResult) {
	if !s.edits {
		d.always = nil
	}
	if s.opts.Distinct {
		d.images = slices.DeleteFunc(d.images, func(f found) bool { return !s.first(f) })
	}
	if d.empty() {
		return
	}
	d.images, d.warnings = slices.Clip(d.images), slices.Clip(d.warnings)
	for i := range d.images {
		f := &d.images[i]
		for _, text := range [...]*string{&f.Text, &f.Field, &f.Container, &f.PullPolicy, &f.Object.APIVersion, &f.Object.Kind, &f.Object.Namespace} {
			*text = s.shared(*text)
		}
	}
	s.docs = append(s.docs, d)
}

// first reports whether no reference before f was the same apart from its place.
func (s *Scanner) first(f found) bool {
	p := place{name: f.Name, class: f.Class, os: f.OS}
	if f.pod != nil {
		p.secrets = f.pod.namespace + "/" + f.pod.account + "/" + strings.Join(f.pod.secrets, "/")
	}
	if s.seen[p] {
		return false
	}
	if s.seen == nil {
		s.seen = map[place]bool{}
	}
	s.seen[p] = true
	return true
}

// maxShared is how many texts [Scanner.shared] keeps.
const maxShared = 16 << 10

// shared returns a text that other references have too in the same place in memory.
func (s *Scanner) shared(text string) string {
	if text == "" {
		return ""
	}
	if same, is := s.strings[text]; is {
		return same
	}
	if s.strings == nil {
		s.strings = map[string]string{}
	}
	if len(s.strings) < maxShared {
		s.strings[text] = text
	}
	return text
}

// sort orders references and warnings by their positions. Rules for several fields find
// theirs first.
func (d *docResult) sort() {
	slices.SortStableFunc(d.images, func(a, b found) int { return a.offset - b.offset })
	slices.SortStableFunc(d.warnings, func(a, b Warning) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}
