package node

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"stowage/pkg/archive"
)

// Cause is one reason why a pod that uses an image would not start without a registry.
type Cause struct {
	Kind  CauseKind `json:"kind"`
	Image string    `json:"image"` // the name, of the bundle or of the sandbox image
	Text  string    `json:"text"`  // what is wrong with it, without a full stop
}

// String returns the name and the text.
func (c Cause) String() string { return c.Image + ": " + c.Text }

// CauseKind is the kind of a [Cause].
type CauseKind string

// The kinds of causes.
const (
	CauseMissing   CauseKind = "missing"        // the image is not on the node, or not complete
	CauseOther     CauseKind = "another image"  // the name leads to another image
	CauseUnusable  CauseKind = "not usable"     // containerd cannot use the image
	CausePlatform  CauseKind = "other platform" // the bundle has it for other platforms only
	CauseLeftOut   CauseKind = "left out"       // required, and the bundle was made without it
	CauseNoSandbox CauseKind = "no sandbox"     // the sandbox image is neither on the node nor in the bundle
)

// IncompleteError says that pods of the bundle's images would not start without a registry.
// It is an [ErrIncomplete].
type IncompleteError struct {
	Causes []Cause // in the order of the report's images, then those outside of the bundle
	// Ready of Total images are ready. Total counts the names of the bundle, the required
	// images that it lacks, and a sandbox image that is missing.
	Ready, Total int
}

// Error has the numbers and every cause.
func (e *IncompleteError) Error() string {
	texts := make([]string, len(e.Causes))
	for i, c := range e.Causes {
		texts[i] = c.String()
	}
	return fmt.Sprintf("%d of %d images ready: %s", e.Ready, e.Total, strings.Join(texts, "; "))
}

// Is reports whether target is [ErrIncomplete].
func (e *IncompleteError) Is(target error) bool { return target == ErrIncomplete }

// conclude completes the report of a load or, without a loader, of a check. It returns an
// [*IncompleteError] when a pod would not find every image that the bundle was made for.
func (n *Node) conclude(ctx context.Context, r *Report, b bundle, s *selection, inv *inventory, l *loader) error {
	for i := range r.Images {
		r.judge(&r.Images[i])
	}
	r.addFailed(s.failed)
	r.addLeft(b)
	n.warn(r, s.images, l)
	n.judgeSandbox(ctx, r, inv)
	r.warnNameless(b)
	return r.outcome()
}

// outcome returns the error for the causes.
func (r *Report) outcome() error {
	unready, total := map[string]bool{}, len(r.Images)
	for _, c := range r.NotReady {
		if !unready[c.Image] && !r.has(c.Image) {
			total++
		}
		unready[c.Image] = true
	}
	if r.Complete = len(r.NotReady) == 0; r.Complete {
		return nil
	}
	return &IncompleteError{Causes: r.NotReady, Ready: total - len(unready), Total: total}
}

// blame adds a cause.
func (r *Report) blame(kind CauseKind, image, format string, args ...any) {
	r.NotReady = append(r.NotReady, Cause{kind, image, fmt.Sprintf(format, args...)})
}

// has reports whether the name is one of the bundle's.
func (r *Report) has(name string) bool {
	return slices.ContainsFunc(r.Images, func(i ImageReport) bool { return i.Name == name })
}

// judge adds the cause for an image that a pod would not find.
func (r *Report) judge(i *ImageReport) {
	switch {
	case i.CRI == Differs:
		r.blame(CauseOther, i.Name, "another image on this node: a pod would start with %s", i.Found)
	case i.Status == Missing:
		r.blame(CauseMissing, i.Name, "not on this node")
	case i.CRI == Unknown:
		r.blame(CauseMissing, i.Name, "CRI does not show it")
	}
}

// addFailed adds the names whose images the node cannot use.
func (r *Report) addFailed(failed []failure) {
	for _, f := range failed {
		r.Images = append(r.Images, ImageReport{Name: f.name, Target: f.target, Status: NotUsable, CRI: NotAsked, Reason: f.err.Error()})
		if f.platform {
			r.blame(CausePlatform, f.name, "%v", f.err)
		} else {
			r.blame(CauseUnusable, f.name, "not usable: %v", f.err)
		}
	}
}

// addLeft adds what the bundle was made without. That is a cause if a pod requires it.
func (r *Report) addLeft(b bundle) {
	for _, s := range b.Skipped() {
		if s.Platforms != "" {
			continue // it is in the bundle; a platform that it lacks is in Images
		}
		r.Left = append(r.Left, s)
		if s.Class != archive.ClassIndirect {
			r.blame(CauseLeftOut, s.Name, "not in the bundle: %s", s.Reason)
		}
	}
}

// judgeSandbox adds that the sandbox image is missing. That is a cause if containerd's
// configuration names the image: a default of its version may have been changed by the
// distribution.
func (n *Node) judgeSandbox(ctx context.Context, r *Report, inv *inventory) {
	if n.criImages == nil {
		return
	}
	sandbox, sure := n.sandboxImage(ctx)
	if _, there := inv.records[sandbox]; there || sandbox == "" || r.has(sandbox) {
		return
	}
	if sure {
		r.blame(CauseNoSandbox, sandbox, "the sandbox image is neither on the node nor in the bundle: without it no pod starts")
	} else {
		r.warn(WarnNoSandbox, "the sandbox image, %[1]s, is neither on the node nor in the bundle; without it no pod starts: give \"bundle\" the argument %[1]s as well", sandbox)
	}
}
