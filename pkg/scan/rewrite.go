package scan

import (
	"bytes"
	"fmt"
	"sort"
	"strings"
)

// RewriteOptions control what [Rewrite] changes. The zero value changes nothing.
type RewriteOptions struct {
	// Digests maps normalised names, as [Reference.Name] has them, to the resolved digests
	// to write beside them. A reference that has a digest is left alone.
	Digests map[string]string
	// PullPolicy changes imagePullPolicy: Always to IfNotPresent.
	PullPolicy bool
	// File is the name of the input in edits and errors.
	File string
	// Scan are the options of the scan that finds the references. Rewrite leaves references
	// alone that Only or Exclude drop.
	Scan Options
}

// Edit is a change that a rewrite made or skipped.
type Edit struct {
	Position
	Field string `json:"field,omitempty"`
	Old   string `json:"old"`
	New   string `json:"new"`
	// Skipped is the reason why the change was not made, or "".
	Skipped string `json:"skipped,omitempty"`
}

// edit is a place that a rewrite may change.
type edit struct {
	Edit
	offset int   // in the document
	base   int64 // of the document in the input
	exact  bool
}

// The reasons to skip an edit.
const (
	skipInexact = "the text does not stand in one piece"
	skipGroup   = "the reference is written in several fields"
	skipUTF16   = "the file is UTF-16"
	skipDefault = "no imagePullPolicy is written, and without a tag the default is Always"
)

// Rewrite returns src with the changes that opts ask for. Every other byte stays: quotes,
// comments, flow style, JSON, line ends and anchors. It adds digests to references in every
// form that the scanner finds and whose text stands in one piece, also inside block
// scalars; a reference without a tag gets ":latest" before its digest. A value that is used
// through an alias is changed once, at its anchor. edits also lists what cannot be changed
// safely, with the reason, and an implied policy of Always that a digest does not change.
//
// An invalid digest in opts is an error, and out is src. Documents that cannot be read stay
// as they are: the error joins theirs, as in
// [Scanner.Scan], and out holds the changes of the others.
func Rewrite(src []byte, opts RewriteOptions) (out []byte, edits []Edit, err error) {
	for name, d := range opts.Digests {
		if n, ok := parseName("x@" + d); !ok || n.digest != d {
			return src, nil, fmt.Errorf("rewrite %s: invalid digest %q", name, d)
		}
	}
	opts.Scan.Distinct = false
	s := New(opts.Scan)
	s.edits = true
	err = s.Scan(opts.File, bytes.NewReader(src))
	_, _, wide := utf8Reader(bytes.NewReader(src))
	plan := plannedEdits(s.docs, opts)
	var b bytes.Buffer
	end := 0
	for _, e := range plan {
		at := int(e.base) + e.offset
		switch {
		case e.Skipped != "":
		case wide:
			e.Skipped = skipUTF16
		case !e.exact || at < end || !bytes.HasPrefix(src[min(at, len(src)):], []byte(e.Old)):
			e.Skipped = skipInexact
		default:
			b.Write(src[end:at])
			b.WriteString(e.New)
			end = at + len(e.Old)
		}
		edits = append(edits, e.Edit)
	}
	b.Write(src[end:])
	return b.Bytes(), edits, err
}

// plannedEdits returns the edits in the order of their positions, each place once.
func plannedEdits(docs []*docResult, opts RewriteOptions) []edit {
	var plan []edit
	for _, d := range docs {
		for _, img := range d.images {
			if e, ok := referenceEdit(img, opts); ok {
				plan = append(plan, e)
			}
		}
		if opts.PullPolicy {
			plan = append(plan, d.always...)
		}
	}
	sort.SliceStable(plan, func(i, j int) bool {
		return plan[i].base+int64(plan[i].offset) < plan[j].base+int64(plan[j].offset)
	})
	once := plan[:0]
	for i, e := range plan {
		if i > 0 && len(once) > 0 {
			last := once[len(once)-1]
			if last.base == e.base && last.offset == e.offset && last.Old == e.Old && last.New == e.New {
				continue // the same text through an alias
			}
		}
		once = append(once, e)
	}
	return once
}

// referenceEdit returns the edit that a reference needs, if any.
func referenceEdit(img found, opts RewriteOptions) (edit, bool) {
	e := edit{offset: img.offset, base: img.base, exact: img.exact,
		Edit: Edit{Position: img.Position, Field: img.Field, Old: img.Text, New: img.Text}}
	d := opts.Digests[img.Name]
	switch {
	case img.digest != "":
		return e, false
	case d != "":
		if img.tag == "" {
			e.New += ":latest"
		}
		e.New += "@" + d
		if img.Form == FormGroup {
			e.Skipped = skipGroup
		}
		return e, true
	case opts.PullPolicy && img.ofContainer() && img.PullPolicy == "" && strings.HasSuffix(img.Name, ":latest"):
		e.Skipped = skipDefault
		return e, true
	}
	return e, false
}
