package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// UnpinReport is the result of [Node.Unpin].
type UnpinReport struct {
	Server Server         `json:"server"`
	Images []UnpinnedName `json:"images"` // sorted by name
}

// UnpinnedName is one image record with [LabelBundle] that was unpinned, or kept.
type UnpinnedName struct {
	Name   string        `json:"name"`
	Bundle digest.Digest `json:"pinnedBy"` // identity of the bundle that pinned it
	Kept   KeptPin       `json:"kept,omitempty"`
}

// KeptPin says why a record is still pinned. It is empty if the record is not.
type KeptPin string

// The reasons why a record stays pinned.
const (
	KeptByBundle  KeptPin = "another-bundle" // a bundle that was loaded later has the name as well
	KeptAsSandbox KeptPin = "pod-sandboxes"  // the CRI plugin itself pins the sandbox image
)

// Unpin lets the kubelet's garbage collection remove images again: it removes the pins that
// loads of b have set, or with a nil b those of all bundles. A name of b that another bundle
// has pinned since stays pinned and is reported. The images stay until the kubelet needs
// space. Pins that something else has set are neither removed nor reported.
func (n *Node) Unpin(ctx context.Context, b *archive.Reader) (*UnpinReport, error) {
	ctx = n.in(ctx)
	all, err := n.images.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the node's images: %w", err)
	}
	wanted := func(images.Image) bool { return true }
	if b != nil {
		s, err := selectImages(b, n.server.Platform)
		if other := (*PlatformError)(nil); err != nil && !errors.As(err, &other) {
			return nil, err // a bundle for another platform has no records here
		}
		own := recordNames(s.images)
		wanted = func(i images.Image) bool { return own[i.Name] || i.Labels[LabelBundle] == b.Digest().String() }
	}
	report := &UnpinReport{Server: n.server, Images: []UnpinnedName{}} // none is [] in JSON
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
			if err := removeLabels(ctx, n.images, i, out.Kept == ""); err != nil {
				return nil, err
			}
		}
		report.Images = append(report.Images, out)
	}
	slices.SortFunc(report.Images, func(a, b UnpinnedName) int { return cmp.Compare(a.Name, b.Name) })
	return report, nil
}

// recordNames returns the names of all records of images.
func recordNames(imgs []*image) map[string]bool {
	names := map[string]bool{}
	for _, img := range imgs {
		for _, name := range img.recordNames() {
			names[name] = true
		}
	}
	return names
}

// sandboxTarget returns the target of the sandbox image on this node, "" if there is none.
func (n *Node) sandboxTarget(ctx context.Context, all []images.Image) digest.Digest {
	if n.criRuntime == nil {
		return ""
	}
	name, _ := n.sandboxImage(ctx)
	for _, i := range all {
		if i.Name == name {
			return i.Target.Digest
		}
	}
	return ""
}

// removeLabels removes LabelBundle from a record and, with pin, the pin. It does nothing to
// a record that another load has labelled since it was read, or that was deleted.
func removeLabels(ctx context.Context, store images.Store, i images.Image, pin bool) error {
	now, err := store.Get(ctx, i.Name)
	if errdefs.IsNotFound(err) || err == nil && now.Labels[LabelBundle] != i.Labels[LabelBundle] {
		return nil
	}
	if err == nil {
		fields := []string{"labels." + LabelBundle}
		if pin {
			fields = append(fields, "labels."+labelPinned)
		}
		// An update removes a label that has no value (core/metadata/boltutil).
		_, err = store.Update(ctx, images.Image{Name: i.Name}, fields...)
	}
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("unpin image %s: %w", i.Name, err)
	}
	return nil
}

// release removes the pins of earlier bundles that this one replaces and returns the names
// that lost theirs, sorted.
func (n *Node) release(ctx context.Context, b bundle, imgs []*image, inv *inventory) ([]UnpinnedName, error) {
	all := slices.Collect(maps.Values(inv.records))
	replaced := replacedRecords(all, b.Digest(), b.Base(), recordNames(imgs))
	if len(replaced) == 0 {
		return nil, nil
	}
	sandbox := n.sandboxTarget(ctx, all)
	var out []UnpinnedName
	for _, i := range replaced {
		if i.Target.Digest == sandbox {
			continue
		}
		if err := removeLabels(ctx, n.images, i, true); err != nil {
			return nil, err
		}
		if digest.Digest(i.Name).Validate() != nil { // an image ID is no name for people
			out = append(out, UnpinnedName{Name: i.Name, Bundle: digest.Digest(i.Labels[LabelBundle])})
		}
	}
	return out, nil
}

// replacedRecords returns the pinned records of earlier bundles that a bundle with the
// record names own replaces, sorted by name. It replaces the bundle it was made against (base),
// and those whose repositories are all among its own; a bundle with other repositories
// serves something else as well. Of a base, too, it takes only the records of its own
// repositories: a bundle states its base itself. It is a pure function.
func replacedRecords(all []images.Image, bundle, base digest.Digest, own map[string]bool) []images.Image {
	repos := map[string]bool{}
	for name := range own {
		repos[repository(name)] = true
	}
	type earlier struct {
		names, ids []images.Image         // of the own repositories
		kept       map[digest.Digest]bool // targets of other repositories
	}
	bundles := map[string]*earlier{}
	for _, i := range all {
		by := i.Labels[LabelBundle]
		if by == "" || by == bundle.String() || i.Labels[labelPinned] != pinned {
			continue
		}
		e := bundles[by]
		if e == nil {
			e = &earlier{kept: map[digest.Digest]bool{}}
			bundles[by] = e
		}
		switch repo := repository(i.Name); {
		case repo != "" && !repos[repo]:
			e.kept[i.Target.Digest] = true
		case own[i.Name]:
		case repo == "":
			e.ids = append(e.ids, i)
		default:
			e.names = append(e.names, i)
		}
	}
	var out []images.Image
	for by, e := range bundles {
		if len(e.kept) > 0 && by != base.String() {
			continue
		}
		out = append(out, e.names...)
		for _, id := range e.ids {
			if !e.kept[id.Target.Digest] && len(e.names) > 0 {
				out = append(out, id)
			}
		}
	}
	slices.SortFunc(out, func(a, b images.Image) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// repository returns the name without tag and digest, "" for an image ID.
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
