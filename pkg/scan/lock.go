package scan

import (
	"slices"
	"strings"
)

// LockHeader is the first line of a lock file: an image list whose references have the
// digests that their tags had when it was made.
const LockHeader = "# lock file of bundle scan --pin"

// leftOut begins a comment about an image that was not available.
const leftOut = "# left out: "

// The notes of a reference in a lock file.
const (
	noteIndirect = "indirect"
	noteDigest   = "digest" // the manifest names the image by digest
	noteWindows  = "windows"
	noteVolume   = "image-volume" // a pod needs it as a volume
)

// LeftOut is an image that a lock file names as not available.
type LeftOut struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// String returns the line of a lock file.
func (l LeftOut) String() string {
	return leftOut + l.Name + " " + strings.Join(strings.Fields(l.Reason), " ")
}

// LockNote returns what the line of an image in a lock file has behind its reference, "" for
// nothing.
func LockNote(img Image) string {
	var notes []string
	if img.Class == Indirect {
		notes = append(notes, noteIndirect)
	}
	if strings.Contains(img.Name, "@") && !img.Locked() {
		notes = append(notes, noteDigest)
	}
	if img.OS == "windows" {
		notes = append(notes, noteWindows)
	}
	if slices.ContainsFunc(img.References, func(r Reference) bool { return r.Class == Required && r.Form == FormVolume }) {
		notes = append(notes, noteVolume)
	}
	if len(notes) == 0 {
		return ""
	}
	return " # " + strings.Join(notes, ", ")
}

// Locked reports whether the digest of the image is that of its tag in a lock file, so that
// every reference means the tag.
func (i *Image) Locked() bool {
	return !slices.ContainsFunc(i.References, func(r Reference) bool { return !r.Locked })
}

// lockLines returns the comments of a lock file by the number of their line, from 0, and the
// images that were left out. It returns nil for any other list.
func lockLines(src []byte) (notes map[int][]string, out []LeftOut) {
	lines := strings.Split(string(src), "\n")
	if strings.TrimSpace(lines[0]) != LockHeader {
		return nil, nil
	}
	notes = map[int][]string{}
	for i, line := range lines {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), leftOut); ok {
			name, reason, _ := strings.Cut(text, " ")
			out = append(out, LeftOut{Name: strings.Clone(name), Reason: strings.Clone(reason)})
			continue
		}
		_, comment, _ := strings.Cut(line, "#")
		notes[i] = strings.FieldsFunc(comment, func(r rune) bool { return r == ',' || r == ' ' || r == '\r' })
	}
	return notes, out
}

// noted applies the notes of its line to a reference of a lock file.
func (r *Reference) noted(notes []string) {
	if slices.Contains(notes, noteIndirect) {
		r.Class = Indirect
	}
	if slices.Contains(notes, noteWindows) {
		r.OS = "windows"
	}
	if slices.Contains(notes, noteVolume) {
		r.Form = FormVolume
	}
	r.Locked = !slices.Contains(notes, noteDigest)
}
