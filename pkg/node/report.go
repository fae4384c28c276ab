package node

import (
	"slices"

	"github.com/opencontainers/go-digest"
)

// CRI says how far a node can prove what it has to the kubelet.
type CRI string

// The answers to "is there a CRI plugin to ask?".
const (
	CRIReady     CRI = "ready"     // yes
	CRIAbsent    CRI = "absent"    // containerd runs without it, as Docker's does
	CRIElsewhere CRI = "elsewhere" // the namespace is not the kubelet's
)

// Server is what is known of the containerd at the other end.
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
	Loaded  Status = "loaded"  // made or completed by this load
	Present Status = "present" // there already, at the right target
	Moved   Status = "moved"   // was there with another target (Was)
	Missing Status = "missing" // not there, or not complete (check only)
)

// Verdict is what the CRI plugin says about a name.
type Verdict string

// The verdicts. Only Ready lets a pod start without a pull.
const (
	Ready    Verdict = "ready"         // known, with the image id of the bundle
	Unknown  Verdict = "unknown"       // not known
	Differs  Verdict = "another image" // known, with another image id
	NotAsked Verdict = "not asked"     // no CRI plugin, or nothing a pod could run
)

// Warning is something the user should know although the load went well.
type Warning struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"` // one sentence without the final stop
}

// Kind tells warnings apart.
type Kind string

// The kinds of warnings.
const (
	WarnNoPin      Kind = "no-pin"   // this containerd does not keep pinned images from the kubelet
	WarnNoSandbox  Kind = "no-pause" // the sandbox image is nowhere
	WarnUnverified Kind = "unproved" // there was no CRI plugin to ask
	WarnRemote     Kind = "remote"   // containerd had to unpack
	WarnUnpinned   Kind = "unpinned" // loaded with a pin that CRI does not show
	WarnNoBlob     Kind = "no-blob"  // layers that are there only unpacked, and that the bundle leaves out
	WarnAdvisory   Kind = "defect"   // this version of containerd has a known hole
	WarnDisk       Kind = "disk"     // the kubelet will soon collect images
	WarnSparse     Kind = "sparse"   // placed: old versions of the distribution do not import the index
	WarnRestart    Kind = "restart"  // placed: old versions of the distribution import when they start
)

// Report is the outcome of a Load or a Check.
type Report struct {
	Bundle   digest.Digest `json:"bundle"`
	Server   Server        `json:"server"`
	Images   []ImageReport `json:"images"` // one for each name, in the bundle's order
	Warnings []Warning     `json:"warnings,omitempty"`
	// Released are the names of earlier bundles of the same images that this load
	// has unpinned: the kubelet may remove them when it needs the space.
	Released []UnpinnedName `json:"released,omitempty"`

	Ingested int64 `json:"bytesIngested"` // bytes sent to the content store
	Skipped  int64 `json:"bytesSkipped"`  // bytes of blobs that were there already
	Unpacked int64 `json:"bytesUnpacked"` // bytes of layers, uncompressed
	Layers   int   `json:"layersUnpacked"`
	Shared   int   `json:"layersPresent"` // unpacked layers that were there already
}

// ImageReport is the outcome for one name.
type ImageReport struct {
	Name    string        `json:"name"`
	Target  digest.Digest `json:"target"` // of the index or manifest
	Image   digest.Digest `json:"image"`  // of the config: the image id of CRI
	Status  Status        `json:"status"`
	Was     digest.Digest `json:"was,omitempty"` // the target before, when it moved
	Verdict Verdict       `json:"cri"`
	Pinned  bool          `json:"pinned"` // as CRI shows it
}

// UpToDate tells whether everything was there before.
func (r *Report) UpToDate() bool {
	return !slices.ContainsFunc(r.Images, func(i ImageReport) bool { return i.Status != Present })
}

// Missing lists the names a kubelet would not find.
func (r *Report) Missing() []string {
	var names []string
	for _, i := range r.Images {
		if i.Status == Missing || i.Verdict == Unknown || i.Verdict == Differs {
			names = append(names, i.Name)
		}
	}
	return names
}

// newReport opens the report of a plan: what was there and what will be made.
func (n *Node) newReport(bundle digest.Digest, p *plan, inv *inventory) *Report {
	r := &Report{Bundle: bundle, Server: n.server}
	blobs, chains := map[digest.Digest]bool{}, map[digest.Digest]bool{}
	for _, ip := range p.images {
		for _, name := range ip.names {
			r.Images = append(r.Images, ip.report(name))
		}
		count := func(d digest.Digest, size int64) {
			if inv.has(d) && !blobs[d] {
				blobs[d] = true
				r.Ingested += inv.came[d]
				r.Skipped += size - inv.came[d]
			}
		}
		for _, d := range ip.documents {
			count(d.Digest, d.Size)
		}
		count(ip.config.Digest, ip.config.Size)
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

// report tells what the plan means for one name. Labels alone do not count: an
// image that a kubelet pulled and that is now pinned was there all the same.
func (ip *imagePlan) report(name string) ImageReport {
	out := ImageReport{Name: name, Target: ip.target.Digest, Image: ip.config.Digest, Status: Present, Verdict: NotAsked}
	if ip.content || ip.rootfs {
		out.Status = Loaded
	}
	i := slices.IndexFunc(ip.records, func(r record) bool { return r.image.Name == name })
	switch r := ip.records[i]; r.verdict {
	case recordCreate:
		out.Status = Loaded
	case recordMove:
		out.Status, out.Was = Moved, r.was
	}
	return out
}
