package node

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/imagename"
	"stowage/pkg/node/internal/referrers"
)

// Labels by which containerd's garbage collection follows references
// (docs/garbage-collection.md), and which record where a blob came from.
const (
	labelConfigRef    = "containerd.io/gc.ref.content.config"
	labelLayerRef     = "containerd.io/gc.ref.content.l."
	labelManifestRef  = "containerd.io/gc.ref.content.m."
	labelSnapshotRef  = "containerd.io/gc.ref.snapshot."
	labelUncompressed = "containerd.io/uncompressed"
	labelSource       = "containerd.io/distribution.source."
	// labelLayer is a label of a snapshot: the digest of the blob that a load unpacked into it.
	labelLayer = "dev.stowage.layer"
)

// maxLabel limits one label, key and value together (pkg/labels of containerd).
const maxLabel = 4096

// planOptions are the options of a load that its plan depends on.
type planOptions struct {
	snapshotter string
	discard     bool              // do not keep the blobs of layers
	labels      map[string]string // of every image record
}

// plan is what the node lacks of a bundle.
type plan struct {
	blobs   []*blobWork     // to write or to label
	unpacks []*unpackWork   // snapshots to create; parents before children
	compare []*unpackWork   // layers to compare with their diffID; their snapshots exist
	images  []*imagePlan    // one per image, in the bundle's order
	unkept  []digest.Digest // layers to keep that neither side has, except unpacked
	left    referrers.Left  // those with a blob that neither side has
}

// blobWork is one blob to write into the content store, or to label there.
type blobWork struct {
	desc   ocispec.Descriptor
	labels map[string]string // to set; only the missing ones of a blob that is there
	there  bool              // the node has the blob
}

// unpackWork is one snapshot to create, or one layer to compare with its diffID.
type unpackWork struct {
	imageLayer
	parent *unpackWork // nil when the parent exists already, or there is none
	image  string      // a name of the image, for messages
	label  bool        // the blob gets its diffID as a label once that was computed here
}

// imagePlan is what one image lacks.
type imagePlan struct {
	*image
	sources  repositories
	records  []record
	content  bool            // blobs or labels are missing
	rootfs   bool            // snapshots are missing
	retained []digest.Digest // blobs that the image needs and the node has
}

// record is one image record and what to do with it.
type record struct {
	image  images.Image
	action recordAction
	was    digest.Digest // the target before, for recordMove
}

// recordAction is what to do with a record.
type recordAction int

const (
	recordKeep    recordAction = iota // nothing
	recordRelabel                     // set labels
	recordCreate                      // it does not exist
	recordMove                        // change the target
)

// empty reports whether there is nothing to do.
func (p *plan) empty() bool {
	return !slices.ContainsFunc(p.images, (*imagePlan).lacks)
}

// lacks reports whether there is anything to do for the image.
func (ip *imagePlan) lacks() bool {
	return ip.content || ip.rootfs ||
		slices.ContainsFunc(ip.records, func(r record) bool { return r.action != recordKeep })
}

// planner collects the work for all images, each blob and chain once.
type planner struct {
	inv      *inventory
	inBundle func(digest.Digest) bool
	opts     planOptions
	blobs    map[digest.Digest]*blobWork
	unpacks  map[digest.Digest]*unpackWork
	sources  map[digest.Digest][]repositories // of the images of a blob
	missing  []digest.Digest                  // neither in the bundle nor on the node
	absent   map[digest.Digest]bool           // those in missing
	unkept   map[digest.Digest]bool           // those in plan.unkept
	plan     plan
}

// newPlan compares the images with the inventory. It is a pure function. Blobs that
// neither side has are returned in one [*MissingError].
func newPlan(imgs []*image, inv *inventory, inBundle func(digest.Digest) bool, o planOptions) (*plan, error) {
	p := &planner{
		inv: inv, inBundle: inBundle, opts: o,
		blobs:   map[digest.Digest]*blobWork{},
		unpacks: map[digest.Digest]*unpackWork{},
		sources: map[digest.Digest][]repositories{},
		absent:  map[digest.Digest]bool{},
		unkept:  map[digest.Digest]bool{},
	}
	for _, img := range imgs {
		p.addImage(img)
	}
	if len(p.missing) > 0 {
		return nil, &MissingError{Digests: p.missing}
	}
	for _, w := range p.plan.blobs {
		if !w.there {
			maps.Copy(w.labels, sourceLabels(joined(p.sources[w.desc.Digest])))
		}
	}
	return &p.plan, nil
}

// addImage plans the blobs from the leaves to the root, then the records.
func (p *planner) addImage(img *image) {
	ip := &imagePlan{image: img, sources: repositoriesOf(img.names)}
	layers := p.addLayers(ip)
	config := map[string]string{}
	if top := img.top(); top != "" {
		config[labelSnapshotRef+p.opts.snapshotter] = top.String()
	}
	p.addBlob(ip, img.config, config)
	refs := p.addReferrers(ip)
	for i, d := range slices.Backward(img.manifests) {
		have := p.inv.labels[d.Digest]
		want := map[string]string{}
		if i == len(img.manifests)-1 {
			want[labelConfigRef] = img.config.Digest.String()
			addRefs(want, have, labelLayerRef, layers)
		} else {
			addRefs(want, have, labelManifestRef, []digest.Digest{img.manifests[i+1].Digest})
		}
		maps.Copy(want, refs[d.Digest])
		p.addBlob(ip, d, want)
	}
	p.addRecords(ip)
	p.addCompare(ip)
	p.plan.images = append(p.plan.images, ip)
}

// addReferrers plans the blobs of what is about the image, and returns the labels that lead to
// it by manifest. A referrer of which a blob is missing is left out.
func (p *planner) addReferrers(ip *imagePlan) map[digest.Digest]map[string]string {
	labels, have := map[digest.Digest]map[string]string{}, map[digest.Digest]map[string]string{}
	for _, d := range ip.manifests {
		labels[d.Digest], have[d.Digest] = map[string]string{}, map[string]string{}
		maps.Copy(have[d.Digest], p.inv.labels[d.Digest])
		if w := p.blobs[d.Digest]; w != nil { // another image has it as well
			maps.Copy(have[d.Digest], w.labels)
		}
	}
	for i := range ip.referrers {
		r := &ip.referrers[i]
		absent := func(d ocispec.Descriptor) bool { return !p.inv.has(d.Digest) && !p.inBundle(d.Digest) }
		if at := slices.IndexFunc(r.Blobs(), absent); at >= 0 {
			p.plan.left.Add(fmt.Errorf("referrer %s of %s: neither the bundle nor the node has its blob %s", r.Manifest.Digest, ip.names[0], r.Blobs()[at].Digest))
			continue
		}
		want := map[string]string{labelConfigRef: r.Config.Digest.String()}
		var layers []digest.Digest
		for _, d := range r.Layers {
			layers = append(layers, d.Digest)
			p.addBlob(ip, d, map[string]string{})
		}
		addRefs(want, p.inv.labels[r.Manifest.Digest], labelLayerRef, layers)
		p.addBlob(ip, r.Config, map[string]string{})
		p.addBlob(ip, r.Manifest, want)
		referrers.AddLabels(labels[r.Holder], have[r.Holder], r)
	}
	return labels
}

// addLayers plans the blobs and snapshots of the layers and returns the digests that the
// manifest has to refer to.
func (p *planner) addLayers(ip *imagePlan) []digest.Digest {
	var kept []digest.Digest
	for i, l := range ip.layers {
		there, here := p.inv.has(l.Digest), p.inBundle(l.Digest)
		keep := !p.opts.discard
		if keep && !there && !here {
			keep = false
			if !p.unkept[l.Digest] {
				p.unkept[l.Digest] = true
				p.plan.unkept = append(p.plan.unkept, l.Digest)
			}
		}
		if keep {
			p.addBlob(ip, l.Descriptor, map[string]string{})
			kept = append(kept, l.Digest)
		}
		if p.inv.chains[l.chain] || p.inv.chains[ip.top()] {
			continue // a pod needs only the snapshot, not the blob
		}
		if !here && !there {
			p.addMissing(l.Digest)
			continue
		}
		ip.rootfs = true
		p.addUnpack(ip, i)
	}
	for _, d := range ip.blobs {
		p.addBlob(ip, d, map[string]string{})
		kept = append(kept, d.Digest)
	}
	return kept
}

// addCompare plans to read the layers of an image whose snapshots exist, unless this node
// has seen already that the blob unpacks to the diffID. The config alone decides which
// snapshots an image runs on, so a manifest could list any other layers.
func (p *planner) addCompare(ip *imagePlan) {
	if !ip.lacks() {
		return
	}
	for _, l := range ip.layers {
		there, here := p.inv.has(l.Digest), p.inBundle(l.Digest)
		label := (there || here && !p.opts.discard) && p.inv.labels[l.Digest][labelUncompressed] == ""
		if u := p.unpacks[l.chain]; u != nil && u.Digest == l.Digest {
			u.label = u.label || label
			continue
		}
		seen := p.inv.labels[l.Digest][labelUncompressed] == l.diffID.String() || p.inv.origins[l.chain] == l.Digest
		same := func(u *unpackWork) bool { return u.Digest == l.Digest && u.diffID == l.diffID }
		if seen && label {
			p.addBlob(ip, l.Descriptor, map[string]string{labelUncompressed: l.diffID.String()})
		}
		if seen || !there && !here || slices.ContainsFunc(p.plan.compare, same) {
			continue
		}
		p.plan.compare = append(p.plan.compare, &unpackWork{imageLayer: l, image: ip.names[0], label: label})
	}
}

// addUnpack plans the snapshot of the i-th layer.
func (p *planner) addUnpack(ip *imagePlan, i int) {
	l := ip.layers[i]
	if p.unpacks[l.chain] != nil {
		return
	}
	w := &unpackWork{imageLayer: l, parent: p.unpacks[l.parentID], image: ip.names[0]}
	p.unpacks[l.chain] = w
	p.plan.unpacks = append(p.plan.unpacks, w)
}

// addBlob plans one blob, or only the labels it lacks.
func (p *planner) addBlob(ip *imagePlan, d ocispec.Descriptor, labels map[string]string) {
	p.sources[d.Digest] = append(p.sources[d.Digest], ip.sources)
	have, there := p.inv.labels[d.Digest]
	if !there && !p.inBundle(d.Digest) {
		p.addMissing(d.Digest)
		return
	}
	if there {
		ip.retained = append(ip.retained, d.Digest)
		maps.DeleteFunc(labels, func(k, v string) bool { return have[k] == v })
		if len(labels) == 0 {
			return
		}
	}
	ip.content = true
	w := p.blobs[d.Digest]
	if w == nil {
		w = &blobWork{desc: ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}, labels: map[string]string{}, there: there}
		p.blobs[d.Digest] = w
		p.plan.blobs = append(p.plan.blobs, w)
	}
	maps.Copy(w.labels, labels)
}

// addMissing records a blob that neither side has.
func (p *planner) addMissing(d digest.Digest) {
	if !p.absent[d] {
		p.absent[d] = true
		p.missing = append(p.missing, d)
	}
}

// addRefs adds to want the labels that refer from a parent to its children. It skips
// numbers under which the parent already refers to other children.
func addRefs(want, have map[string]string, prefix string, children []digest.Digest) {
	kept := map[string]bool{}
	for k, v := range have {
		if strings.HasPrefix(k, prefix) {
			kept[v] = true
		}
	}
	number := 0
	for _, c := range children {
		if kept[c.String()] {
			continue
		}
		kept[c.String()] = true
		key := func() string { return fmt.Sprint(prefix, number) }
		for have[key()] != "" {
			number++
		}
		want[key()] = c.String()
		number++
	}
}

// repositories are those of an image, by host.
type repositories map[string][]string

// maxHosts bounds the hosts that the labels of a blob name.
const maxHosts = 16

// repositoriesOf returns the repositories of names, sorted, and no more than fit into
// labels: an image may have thousands of names, and thousands of layers.
func repositoriesOf(names []string) repositories {
	all := repositories{}
	for _, name := range names {
		if ref, err := reference.ParseNormalizedNamed(name); err == nil {
			host, repo := imagename.Split(ref)
			all[host] = append(all[host], repo)
		}
	}
	return joined([]repositories{all})
}

// joined returns the repositories of several images, sorted, as many as fit into labels.
func joined(all []repositories) repositories {
	out := repositories{}
	for _, r := range all {
		for host, repos := range r {
			out[host] = append(out[host], repos...)
		}
	}
	for i, host := range slices.Sorted(maps.Keys(out)) {
		repos := out[host]
		slices.Sort(repos)
		repos = slices.Compact(repos)
		size := len(labelSource) + len(host)
		n := 0
		for n < len(repos) && size < maxLabel {
			size += len(repos[n]) + 1
			n++
		}
		if out[host] = repos[:n]; i >= maxHosts {
			delete(out, host)
		}
	}
	return out
}

// sourceLabels returns the repositories as the CRI plugin's pull records them, one label
// per host. Repositories that do not fit into the label are dropped.
func sourceLabels(hosts map[string][]string) map[string]string {
	labels := map[string]string{}
	for host, repos := range hosts {
		key, value := labelSource+host, ""
		slices.Sort(repos)
		for _, r := range repos {
			if len(key)+len(value)+1+len(r) <= maxLabel {
				value += "," + r
			}
		}
		if value != "" {
			labels[key] = value[1:]
		}
	}
	return labels
}
