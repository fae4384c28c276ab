package node

import (
	"slices"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// CRI says whether there is a CRI plugin that can verify a load.
type CRI string

// The states of the CRI plugin.
const (
	CRIReady     CRI = "ready"     // it serves the namespace
	CRIAbsent    CRI = "absent"    // containerd runs without it, as Docker's does
	CRIElsewhere CRI = "elsewhere" // it serves another namespace than the one used
)

// Server describes the containerd that a [Node] is connected to.
type Server struct {
	Address     string `json:"address"`
	Version     string `json:"version"`
	Namespace   string `json:"namespace"`
	Snapshotter string `json:"snapshotter"`
	Platform    string `json:"platform"`
	CRI         CRI    `json:"cri"`
}

// Status says what a load did for a name, or what a check found.
type Status string

// The states of a name.
const (
	Loaded  Status = "loaded"  // created or completed by this load
	Present Status = "present" // already there, with the right target
	Moved   Status = "moved"   // already there, with another target
	Missing Status = "missing" // not there, or not complete (only from a check)

	NotUsable Status = "not-usable" // containerd cannot use the image
)

// CRIStatus is what the CRI plugin reports about a name.
type CRIStatus string

// The answers of the CRI plugin. Only Ready lets a pod start without a pull.
const (
	Ready    CRIStatus = "ready"         // known, with the image ID of the bundle
	Unknown  CRIStatus = "unknown"       // not known
	Differs  CRIStatus = "another-image" // known, with another image ID
	NotAsked CRIStatus = "not-asked"     // no CRI plugin, or the image is not usable
)

// Warning is something the user should know although the operation succeeded.
type Warning struct {
	Kind Kind   `json:"code"`
	Text string `json:"message"` // one sentence without a full stop
}

// Kind is the kind of a [Warning].
type Kind string

// The kinds of warnings.
const (
	WarnNoPin      Kind = "no-pin"     // this containerd does not protect pinned images from the kubelet
	WarnNoSandbox  Kind = "no-sandbox" // the sandbox image is neither on the node nor in the bundle
	WarnUnverified Kind = "unverified" // there is no CRI plugin to ask
	WarnRemote     Kind = "remote"     // containerd had to unpack
	WarnUnpinned   Kind = "unpinned"   // the CRI plugin does not show the pin of a loaded image
	WarnNoBlob     Kind = "no-blob"    // the node has layers only unpacked, and the bundle omits them
	WarnAdvisory   Kind = "defect"     // this version of containerd has a known vulnerability
	WarnDisk       Kind = "disk"       // the kubelet will soon remove images
	WarnMoved      Kind = "moved"      // a name on the node now leads to another image
	WarnReleased   Kind = "released"   // names of earlier bundles have lost their pins
	WarnNameless   Kind = "nameless"   // images of the tarball that have no name, and are not loaded
	WarnReferrers  Kind = "referrer"   // referrers of the bundle that are not kept on the node
	WarnKubelet    Kind = "kubelet"    // the kubelet's records could not be changed
	WarnNoFiles    Kind = "no-files"   // an artifact, which has no files for a pod
)

// Report is the result of [Node.Load], [Node.LoadStream] or [Node.Check].
type Report struct {
	Bundle   digest.Digest `json:"identity"` // of the bundle
	Server   Server        `json:"server"`
	Images   []ImageReport `json:"images"` // one per name, in the bundle's order; those not usable last
	Kubelet  *Kubelet      `json:"kubelet"`
	Warnings []Warning     `json:"warnings,omitempty"`
	// Complete says that pods find every image that the bundle was made for: those in it are
	// ready, and no required one was skipped when it was made.
	Complete bool `json:"complete"`
	// NotReady says why it is not complete.
	NotReady []Cause `json:"notReady,omitempty"`
	// Left are the images that are not in the bundle.
	Left []archive.Skipped `json:"skipped,omitempty"`
	// Released are the names of earlier bundles of the same images that this load has
	// unpinned: the kubelet may remove them when it needs space.
	Released []UnpinnedName `json:"released,omitempty"`

	Ingested int64 `json:"sentSize"`           // bytes sent to the content store
	Skipped  int64 `json:"presentSize"`        // bytes of blobs that were already there
	Unpacked int64 `json:"unpackedSize"`       // bytes of layers, uncompressed
	Layers   int   `json:"unpackedLayerCount"` // layers that this load unpacked
	Shared   int   `json:"presentLayerCount"`  // unpacked layers that were already there
}

// ImageReport is the result for one name.
type ImageReport struct {
	Name   string        `json:"name"`
	Target digest.Digest `json:"digest"` // of the index or manifest
	Image  digest.Digest `json:"config"` // of the config: the image ID in CRI
	Status Status        `json:"status"`
	Was    digest.Digest `json:"was,omitempty"` // the target before, when it moved
	CRI    CRIStatus     `json:"criStatus"`
	Found  digest.Digest `json:"criConfig,omitempty"` // the image ID in CRI, when it is another one
	Pinned bool          `json:"pinned"`              // as the CRI plugin shows it

	Reason string `json:"reason,omitempty"` // why the image is not usable

	Kubelet       KubeletStatus `json:"kubeletStatus"`
	KubeletReason string        `json:"kubeletReason,omitempty"` // in a few words, if CRI has the image
}

// UpToDate reports whether everything was there before.
func (r *Report) UpToDate() bool {
	return !slices.ContainsFunc(r.Images, func(i ImageReport) bool { return i.Status != Present })
}

// Missing lists the names that the kubelet would not find.
func (r *Report) Missing() []string {
	var names []string
	for _, i := range r.Images {
		if i.Status == Missing || i.Status == NotUsable || i.CRI == Unknown || i.CRI == Differs {
			names = append(names, i.Name)
		}
	}
	return names
}

// newReport returns the report of a plan: what was there and what it will create.
func newReport(server Server, bundle digest.Digest, p *plan, inv *inventory) *Report {
	r := &Report{Bundle: bundle, Server: server}
	blobs, chains := map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, ip := range p.images {
		for _, name := range ip.names {
			r.Images = append(r.Images, ip.report(name))
		}
		count := func(d digest.Digest, size int64) {
			if inv.has(d) && !blobs[d] {
				blobs[d] = true
				r.Ingested += inv.sent[d]
				r.Skipped += size - inv.sent[d]
			}
		}
		for _, d := range ip.manifests {
			count(d.Digest, d.Size)
		}
		count(ip.config.Digest, ip.config.Size)
		for _, d := range ip.blobs {
			count(d.Digest, d.Size)
		}
		for i := range ip.referrers {
			for _, d := range ip.referrers[i].Blobs() {
				count(d.Digest, d.Size)
			}
		}
		for _, l := range ip.layers {
			count(l.Digest, l.Size)
			if inv.chains[l.chain] && !chains[l.chain] {
				chains[l.chain] = true
				r.Shared++
			}
		}
	}
	return r
}

// report returns what the plan means for one name. Labels alone do not count: an image
// that the kubelet had pulled was there, even if only this load pins it.
func (ip *imagePlan) report(name string) ImageReport {
	out := ImageReport{Name: name, Target: ip.target.Digest, Image: ip.config.Digest, Status: Present, CRI: NotAsked}
	if ip.content || ip.rootfs {
		out.Status = Loaded
	}
	i := slices.IndexFunc(ip.records, func(r record) bool { return r.image.Name == name })
	switch r := ip.records[i]; r.action {
	case recordCreate:
		out.Status = Loaded
	case recordMove:
		out.Status, out.Was = Moved, r.was
	}
	return out
}
