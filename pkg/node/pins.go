package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// UnpinReport is the outcome of an [Node.Unpin].
type UnpinReport struct {
	Server Server         `json:"server"`
	Images []UnpinnedName `json:"images"` // sorted by name
}

// UnpinnedName is one image record that carried a pin or a mark of ours.
type UnpinnedName struct {
	Name   string        `json:"name"`
	Bundle digest.Digest `json:"bundle"` // the one that pinned it
	Kept   KeptPin       `json:"kept,omitempty"`
}

// KeptPin says why a record is still pinned; empty when it is not.
type KeptPin string

// The reasons to keep a pin.
const (
	KeptByBundle  KeptPin = "another bundle" // that bundle was loaded later and has the name, too
	KeptAsSandbox KeptPin = "pod sandboxes"  // the CRI plugin itself pins the sandbox image
)

// Unpin gives images back to the kubelet's garbage collection: the pins that b
// has set, or with a nil b all that loads of any bundle have set. A name of b
// that another bundle has pinned since is reported and stays pinned. The images
// themselves stay until the kubelet needs the space. Pins that something else
// has set are neither touched nor reported.
func (n *Node) Unpin(ctx context.Context, b *archive.Reader) (*UnpinReport, error) {
	ctx = n.in(ctx)
	all, err := n.images.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the node's images: %w", err)
	}
	wanted := func(images.Image) bool { return true }
	if b != nil {
		ours, err := n.recordNames(ctx, b)
		if err != nil {
			return nil, err
		}
		wanted = func(i images.Image) bool { return ours[i.Name] || i.Labels[LabelBundle] == b.Digest().String() }
	}
	report := &UnpinReport{Server: n.server}
	sandbox := n.sandboxTarget(ctx, all)
	for _, i := range all {
		if i.Labels[LabelBundle] == "" || !wanted(i) {
			continue
		}
		out := UnpinnedName{Name: i.Name, Bundle: digest.Digest(i.Labels[LabelBundle])}
		switch {
		case b != nil && out.Bundle != b.Digest():
			out.Kept = KeptByBundle
		case sandbox != "" && i.Target.Digest == sandbox:
			out.Kept = KeptAsSandbox
		}
		if out.Kept != KeptByBundle {
			if err := n.unmark(ctx, i, out.Kept == ""); err != nil {
				return nil, err
			}
		}
		report.Images = append(report.Images, out)
	}
	slices.SortFunc(report.Images, func(a, b UnpinnedName) int { return cmp.Compare(a.Name, b.Name) })
	return report, nil
}

// recordNames are the names of all records that a load of the bundle makes on
// this node. A bundle for another platform has none here.
func (n *Node) recordNames(ctx context.Context, b bundle) (map[string]bool, error) {
	imgs, err := selectImages(ctx, b, n.server.Platform)
	if other := (*PlatformError)(nil); err != nil && !errors.As(err, &other) {
		return nil, err
	}
	names := map[string]bool{}
	for _, img := range imgs {
		for _, name := range img.recordNames() {
			names[name] = true
		}
	}
	return names, nil
}

// sandboxTarget returns the target of the sandbox image on this node, "" if there is none.
func (n *Node) sandboxTarget(ctx context.Context, all []images.Image) digest.Digest {
	if n.criRuntime == nil {
		return ""
	}
	name := n.sandboxImage(ctx)
	for _, i := range all {
		if i.Name == name {
			return i.Target.Digest
		}
	}
	return ""
}

// unmark takes our label off a record and, with pin, the pin. A record that
// another load has marked since it was read, or that is gone, is left alone.
func (n *Node) unmark(ctx context.Context, i images.Image, pin bool) error {
	now, err := n.images.Get(ctx, i.Name)
	if errdefs.IsNotFound(err) || err == nil && now.Labels[LabelBundle] != i.Labels[LabelBundle] {
		return nil
	}
	if err == nil {
		fields := []string{"labels." + LabelBundle}
		if pin {
			fields = append(fields, "labels."+labelPinned)
		}
		// A named label without a value is removed (core/metadata/boltutil).
		_, err = n.images.Update(ctx, images.Image{Name: i.Name}, fields...)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("unpin image %s: %w", i.Name, err)
	}
	return nil
}

// release takes back the pins of the bundles that this one has succeeded and
// returns the names that lost theirs, sorted.
func (n *Node) release(ctx context.Context, b bundle, imgs []*image, inv *inventory) ([]UnpinnedName, error) {
	own := map[string]bool{}
	for _, img := range imgs {
		for _, name := range img.recordNames() {
			own[name] = true
		}
	}
	base := baseOf(b)
	var out []UnpinnedName
	all := make([]images.Image, 0, len(inv.records))
	for _, i := range inv.records {
		all = append(all, i)
	}
	sandbox := digest.Digest("")
	for _, i := range succeeded(all, b.Digest(), base, own) {
		if sandbox == "" {
			if sandbox = n.sandboxTarget(ctx, all); sandbox == "" {
				sandbox = "none"
			}
		}
		if i.Target.Digest == sandbox {
			continue
		}
		if err := n.unmark(ctx, i, true); err != nil {
			return nil, err
		}
		if digest.Digest(i.Name).Validate() != nil { // image ids tell nobody anything
			out = append(out, UnpinnedName{Name: i.Name, Bundle: digest.Digest(i.Labels[LabelBundle])})
		}
	}
	return out, nil
}

// succeeded lists the pinned records of earlier bundles that a bundle with the
// record names own takes the place of: those it was made against (base), and
// those of which every repository is among its own. A bundle that shares only
// some repositories with it serves something else as well and keeps its pins.
// It is a pure function; the records come sorted by name.
func succeeded(all []images.Image, bundle, base digest.Digest, own map[string]bool) []images.Image {
	repos := map[string]bool{}
	for name := range own {
		repos[repository(name)] = true
	}
	rest := map[string][]images.Image{} // by earlier bundle: what this one does not have
	other := map[string]bool{}          // earlier bundles that have other repositories as well
	for _, i := range all {
		by := i.Labels[LabelBundle]
		if by == "" || by == bundle.String() || i.Labels[labelPinned] != pinned {
			continue
		}
		if repo := repository(i.Name); repo != "" && !repos[repo] {
			other[by] = true
		}
		if !own[i.Name] {
			rest[by] = append(rest[by], i)
		}
	}
	var out []images.Image
	for by, records := range rest {
		if !other[by] || by == base.String() {
			out = append(out, records...)
		}
	}
	slices.SortFunc(out, func(a, b images.Image) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// repository is the name without tag and digest, "" for an image id.
func repository(name string) string {
	if digest.Digest(name).Validate() == nil {
		return ""
	}
	ref, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return ""
	}
	return reference.TrimNamed(ref).String()
}
