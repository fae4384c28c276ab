package node

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"stowage/internal/lazy"
	"stowage/pkg/node/internal/referrers"
	"stowage/pkg/node/internal/system"
)

// gcThreshold is the disk usage, in percent, from which the kubelet removes images
// (imageGCHighThresholdPercent, its default).
const gcThreshold = 85

// warn adds to the report what succeeded but may surprise later. l is nil for a check.
func (n *Node) warn(r *Report, imgs []*image, l *loader) {
	switch n.server.CRI {
	case CRIAbsent:
		r.warn(WarnUnverified, "this containerd runs without its CRI plugin; whether a kubelet finds the images was not verified")
	case CRIElsewhere:
		r.warn(WarnUnverified, "namespace %s is not the kubelet's (%s); it will not find the images", n.server.Namespace, KubernetesNamespace)
	}
	if l != nil {
		l.warn(r)
		r.warnMoved(l.users)
	}
	r.warnReleased()
	r.warnArtifacts(imgs)
	pins := n.criImages != nil && l != nil && !l.opts.NoPin
	for _, a := range advisories {
		if a.affects(n.server.Version) && (a.kind != WarnNoPin || pins) {
			r.warn(a.kind, "%s", a.warning(n.server.Version))
		}
	}
	if n.criImages == nil {
		return
	}
	if disk, err := system.Usage(n.snapshotter.root); err == nil && l != nil && n.local && disk.Used >= gcThreshold {
		r.warn(WarnDisk, "%d %% of the file system of %s are in use; from %d %% on the kubelet removes images that are not pinned, then it evicts pods", disk.Used, n.snapshotter.root, gcThreshold)
	}
	if lost := unpinned(r); pins && keepsPins(n.server.Version) && len(lost) > 0 {
		r.warn(WarnUnpinned, "the CRI plugin does not show these images as pinned: %s", strings.Join(lost, ", "))
	}
}

// warnReleased adds that names of earlier bundles have lost their pins.
func (r *Report) warnReleased() {
	var names []string
	for _, u := range r.Released {
		names = append(names, u.Name)
	}
	if len(names) > 0 {
		r.warn(WarnReleased, "no longer pinned, as this bundle replaces the one that pinned them: %s", strings.Join(names, ", "))
	}
}

// warnNameless adds which images were not loaded because they have no name.
func (r *Report) warnNameless(b bundle) {
	if list := b.Nameless(); len(list) > 0 {
		r.warn(WarnNameless, "not loaded, as it has no name in the tarball: %s", describeNameless(list))
	}
}

// warnArtifacts adds which names have no files for a pod.
func (r *Report) warnArtifacts(imgs []*image) {
	var names []string
	for _, img := range imgs {
		if img.artifact {
			names = append(names, img.names...)
		}
	}
	if len(names) > 0 {
		r.warn(WarnNoFiles, "no root file system, so no container can run it, and as an image volume it is empty or cannot be mounted: %s", strings.Join(names, ", "))
	}
}

// warn adds what only a load can know.
func (l *loader) warn(r *Report) {
	for _, err := range l.kubeletErrs {
		r.warn(WarnKubelet, "%v", err)
	}
	if !l.local && r.Layers > 0 {
		r.warn(WarnRemote, "containerd unpacked the layers itself, as its files are out of reach from here")
	}
	r.warnReferrers(l.left)
	if l.unkept > 0 {
		r.warn(WarnNoBlob, "layers that the bundle omits (%d) are on this node only unpacked, as after --discard-layers: their images run, but cannot be exported, pushed, or used with another snapshotter", l.unkept)
	}
}

// warnReferrers adds which referrers are not kept.
func (r *Report) warnReferrers(left referrers.Left) {
	if left.N > 0 {
		r.warn(WarnReferrers, "signatures, attestations or SBOMs that are not kept on this node: %d; the first: %v", left.N, left.Err)
	}
}

// warn adds one warning.
func (r *Report) warn(k Kind, format string, args ...any) {
	r.Warnings = append(r.Warnings, Warning{k, fmt.Sprintf(format, args...)})
}

// unpinned lists the images that are ready but not pinned.
func unpinned(r *Report) []string {
	var names []string
	for _, i := range r.Images {
		if i.CRI == Ready && !i.Pinned {
			names = append(names, i.Name)
		}
	}
	return names
}

var versionNumbers = lazy.Regexp(`^v?(\d+)\.(\d+)\.(\d+)`)

// parseVersion reads "v2.4.2+unknown" or "1.6.20~ds1".
func parseVersion(version string) (v [3]int, ok bool) {
	m := versionNumbers().FindStringSubmatch(version)
	if m == nil {
		return v, false
	}
	for i := range v {
		v[i], _ = strconv.Atoi(m[i+1]) // digits; a number too large for int is no version
	}
	return v, true
}

// keepsPins reports whether the CRI plugin of this version honours the label
// io.cri-containerd.pinned. An unknown version counts as new.
func keepsPins(version string) bool {
	return !slices.ContainsFunc(advisories, func(a advisory) bool { return a.kind == WarnNoPin && a.affects(version) })
}
