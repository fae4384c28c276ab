package node

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// gcThreshold is where the kubelet begins to remove images unless it was told
// otherwise (imageGCHighThresholdPercent), in percent.
const gcThreshold = 85

// warn adds to the report what went well but may surprise later.
func (n *Node) warn(ctx context.Context, r *Report, inv *inventory, l *loader) {
	add := func(k Kind, format string, args ...any) {
		r.Warnings = append(r.Warnings, Warning{k, fmt.Sprintf(format, args...)})
	}
	switch n.server.CRI {
	case CRIAbsent:
		add(WarnUnproved, "this containerd runs without its CRI plugin; whether a kubelet finds the images was not proved")
	case CRIElsewhere:
		add(WarnUnproved, "namespace %s is not the kubelet's (%s); it will not find the images", n.server.Namespace, KubernetesNamespace)
	}
	if l != nil && !l.local && r.Layers > 0 {
		add(WarnRemote, "containerd unpacked the layers itself, as its files are out of reach from here")
	}
	if l != nil && l.unkept > 0 {
		add(WarnNoBlob, "layers that the bundle leaves out (%d) are on this node only unpacked, as after --discard-layers: their images run, but cannot be exported, pushed, or used with another snapshotter", l.unkept)
	}
	for _, d := range defects {
		if d.affects(n.server.Version) && (d.kind != WarnNoPin || n.criImages != nil && l != nil && !l.opts.NoPin) {
			add(d.kind, "%s", d.warning(n.server.Version))
		}
	}
	if n.criImages == nil {
		return
	}
	if used := inUse(n.snapshotter.root); l != nil && n.local && used >= gcThreshold {
		add(WarnDisk, "%d %% of the file system of %s are in use; from %d %% on the kubelet removes images that are not pinned, then it evicts pods", used, n.snapshotter.root, gcThreshold)
	}
	if l != nil && !l.opts.NoPin && keepsPins(n.server.Version) {
		if lost := unpinned(r); len(lost) > 0 {
			add(WarnUnpinned, "the CRI plugin does not show these images as pinned: %s", strings.Join(lost, ", "))
		}
	}
	sandbox := n.sandboxImage(ctx)
	_, there := inv.records[sandbox]
	if !there && sandbox != "" && !slices.ContainsFunc(r.Images, func(i ImageReport) bool { return i.Name == sandbox }) {
		add(WarnNoSandbox, "the sandbox image, %[1]s, is neither on the node nor in the bundle; without it no pod starts: give \"bundle\" the argument %[1]s as well", sandbox)
	}
}

// unpinned lists the images that are ready but not pinned.
func unpinned(r *Report) []string {
	var names []string
	for _, i := range r.Images {
		if i.Verdict == Ready && !i.Pinned {
			names = append(names, i.Name)
		}
	}
	return names
}

var versionNumbers = regexp.MustCompile(`^v?(\d+)\.(\d+)\.(\d+)`)

// parseVersion reads "v2.4.2+unknown" or "1.6.20~ds1".
func parseVersion(version string) (v [3]int, ok bool) {
	m := versionNumbers.FindStringSubmatch(version)
	if m == nil {
		return v, false
	}
	for i := range v {
		v[i], _ = strconv.Atoi(m[i+1]) // digits; a number too large for int is no version
	}
	return v, true
}

// keepsPins tells whether the CRI plugin of this version honours the pinned
// label. An unknown version is taken as new.
func keepsPins(version string) bool {
	return !slices.ContainsFunc(defects, func(d defect) bool { return d.kind == WarnNoPin && d.affects(version) })
}
