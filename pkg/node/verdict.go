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
	Kind  CauseKind `json:"code"`
	Image string    `json:"image"`   // the name, of the bundle or of the sandbox image
	Text  string    `json:"message"` // what is wrong with it, without a full stop
}

// String returns the name and the text.
func (c Cause) String() string { return c.Image + ": " + c.Text }

// CauseKind is the kind of a [Cause].
type CauseKind string

// The kinds of causes.
const (
	CauseMissing   CauseKind = "missing"        // the image is not on the node, or not complete
	CauseOther     CauseKind = "another-image"  // the name leads to another image
	CauseUnusable  CauseKind = "not-usable"     // containerd cannot use the image
	CausePlatform  CauseKind = "other-platform" // the bundle has it for other platforms only
	CauseLeftOut   CauseKind = "skipped"        // required, and the bundle was made without it
	CauseNoSandbox CauseKind = "no-sandbox"     // the sandbox image is neither on the node nor in the bundle

	CauseArtifact CauseKind = "artifact"    // a pod mounts it as a volume, and it has no files
	CauseHandler  CauseKind = "snapshotter" // a runtime handler has another snapshotter, and the layers are gone

	// The kubelet asks a registry, although CRI has the image.
	CausePulled      CauseKind = "pulled-before"     // with credentials, or from another repository
	CauseInterrupted CauseKind = "interrupted-pull"  // a pull is in progress or was interrupted
	CausePolicy      CauseKind = "policy"            // of the kubelet's configuration
	CauseUnreadable  CauseKind = "unreadable-record" // it cannot read the record of the image
	CauseRestart     CauseKind = "restart"           // it must be started again to see the records
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
	found := n.judgeRecords(ctx, r, l)
	r.judgeArtifacts(b, s.images)
	if err := n.judgeHandlers(ctx, r, s.images); err != nil {
		r.warn(WarnUnverified, "whether other runtime handlers can use the images was not verified: %v", err)
	}
	r.addFailed(s.failed)
	r.addLeft(b)
	n.warn(r, s.images, l)
	n.judgeSandbox(ctx, r, inv, found)
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
	switch i.Kubelet = KubeletUnknown; {
	case i.CRI == Differs:
		r.refuse(i, CauseOther, "", fmt.Sprintf("another image on this node: a pod would start with %s", i.Found))
	case i.Status == Missing:
		r.refuse(i, CauseMissing, "", "not on this node")
	case i.CRI == Unknown:
		r.refuse(i, CauseMissing, "", "CRI does not show it")
	}
}

// judgeArtifacts adds the artifacts that pods need as image volumes: containerd mounts only
// images with a root file system.
func (r *Report) judgeArtifacts(b bundle, imgs []*image) {
	needed := map[string]bool{}
	for _, in := range b.Images() {
		needed[in.Name] = in.Artifact == archive.ArtifactVolume
	}
	for _, img := range imgs {
		for i := range r.Images {
			if out := &r.Images[i]; img.artifact && needed[out.Name] && slices.Contains(img.names, out.Name) && out.Kubelet != KubeletNotReady {
				r.refuse(out, CauseArtifact, "an artifact", "an artifact that a pod needs as an image volume, and containerd cannot mount it")
			}
		}
	}
}

// addFailed adds the names whose images the node cannot use.
func (r *Report) addFailed(failed []failure) {
	for _, f := range failed {
		r.Images = append(r.Images, ImageReport{Name: f.name, Target: f.target, Status: NotUsable, CRI: NotAsked, Kubelet: KubeletNotReady, Reason: f.err.Error()})
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

// judgeSandbox adds that the sandbox image is missing. That is a cause on a node with a
// kubelet, and where containerd's configuration names the image. Elsewhere it may be that no
// pods are to run.
func (n *Node) judgeSandbox(ctx context.Context, r *Report, inv *inventory, kubelet bool) {
	if n.criImages == nil {
		return
	}
	sandbox, named := n.sandboxImage(ctx)
	if _, there := inv.records[sandbox]; there || sandbox == "" || r.has(sandbox) {
		return
	}
	if kubelet || named {
		r.blame(CauseNoSandbox, sandbox, "the sandbox image is neither on the node nor in the bundle: without it no pod starts")
	} else {
		r.warn(WarnNoSandbox, "the sandbox image, %[1]s, is neither on the node nor in the bundle; without it no pod starts: give \"bundle\" the argument %[1]s as well", sandbox)
	}
}
