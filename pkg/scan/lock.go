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
	noteEarly    = "early"
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
	if img.Early() {
		notes = append(notes, noteEarly)
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

// Early reports whether one of the references is of a container that other pods wait for.
func (i *Image) Early() bool {
	return slices.ContainsFunc(i.References, func(r Reference) bool { return r.Early })
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
	r.Early = slices.Contains(notes, noteEarly)
	r.Locked = !slices.Contains(notes, noteDigest)
}

// Uncovered is an image of manifests that a lock file does not cover.
type Uncovered struct {
	Name     string // in full, as the lock file would name it
	Reason   string // one clause
	Position        // of the first place that names it
}

// CheckLock compares manifests with a lock file that was made from an earlier state of them.
// uncovered are the images that the lock file lacks, or names for a lesser use than that of
// the manifests, in order of first appearance: a bundle made from the lock file is not enough
// for the manifests. unused are the names in the lock file that no manifest contains. Digests
// are not compared, which would need a registry.
func CheckLock(manifests, lock *Result) (uncovered []Uncovered, unused []string) {
	needs, needed := lockNeeds(manifests)
	locked, have := lockNeeds(lock)
	omitted := map[string]bool{}
	for _, l := range lock.LeftOut {
		omitted[l.Name] = true
	}
	for _, n := range needs {
		if reason := n.uncovered(have[n.name], omitted[n.name]); reason != "" {
			uncovered = append(uncovered, Uncovered{n.name, reason, n.at})
		}
	}
	for _, n := range locked {
		if needed[n.name] == nil {
			unused = append(unused, n.name)
		}
	}
	return uncovered, unused
}

// lockNeed is what a lock file records of one image, over all its references.
type lockNeed struct {
	name     string
	at       Position
	required bool
	linux    bool // a pod needs it on other nodes than those with Windows
	volume   bool // a pod needs it as a volume
	internal bool // its registry exists only inside a cluster
}

// lockNeeds returns the images of a result, in order and by name. A tag, and the same tag with
// a digest, are two images when manifests name both.
func lockNeeds(r *Result) (list []*lockNeed, byName map[string]*lockNeed) {
	byName = map[string]*lockNeed{}
	for i := range r.References {
		ref := &r.References[i]
		name := ref.Name
		if ref.Locked {
			name, _, _ = strings.Cut(name, "@")
		}
		n := byName[name]
		if n == nil {
			n = &lockNeed{name: name, at: ref.Position}
			list, byName[name] = append(list, n), n
		}
		n.required = n.required || ref.Class == Required
		n.linux = n.linux || ref.OS != noteWindows
		n.volume = n.volume || ref.Class == Required && ref.Form == FormVolume
		n.internal = n.internal || ref.ClusterInternal
	}
	return list, byName
}

// uncovered returns why the lock file does not cover an image, "" if it does. have is what the
// lock file records of it, nil for nothing; omitted is set if it names the image as left out.
func (n *lockNeed) uncovered(have *lockNeed, omitted bool) string {
	switch {
	case have == nil && omitted && (n.internal || !n.required):
		return ""
	case have == nil && omitted:
		return "left out when the lock file was made, and required now"
	case have == nil:
		return "not in the lock file"
	case n.required && !have.required:
		return "locked as indirect, and required now"
	case n.linux && !have.linux:
		return "locked for Windows nodes, and needed on others now"
	case n.volume && !have.volume:
		return "locked as the image of containers, and an image volume now"
	}
	return ""
}
