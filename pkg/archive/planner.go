package archive

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// planner walks the images in their order and collects each blob at its first
// use: manifests, configs and layers in three lists that then follow each other.
type planner struct {
	docs MetadataReader
	opts PlanOptions

	images  []Image
	entries []indexEntry
	blobs   [4][]Blob // by class
	seen    map[digest.Digest]place
	refs    map[attachment]bool // referrers in entries
	docker  dockerList
	links   int
	budget  *budget // of a Reader of the bundle
}

// class orders blobs in the file.
type class uint8

const (
	classManifest class = iota
	classConfig
	classLayer
	classOmitted
)

// place is where a digest was put: its class and the index in that class's list.
type place struct {
	class class
	index int32
}

func newPlanner(docs MetadataReader, opts PlanOptions) *planner {
	return &planner{
		docs: docs, opts: opts, budget: newBudget(defaultLimits),
		seen:   map[digest.Digest]place{},
		refs:   map[attachment]bool{},
		docker: dockerList{at: map[digest.Digest]int{}},
	}
}

// add adds one image: its manifests from the target down, then its referrers.
func (p *planner) add(img *Image) error {
	walk := imageWalk{planner: p, chosen: map[digest.Digest]bool{img.Target.Digest: true}, met: map[digest.Digest]bool{}}
	for i := range img.Present {
		walk.chosen[img.Present[i].Digest] = true
	}
	if err := walk.visit(img.Target, 1); err != nil {
		return err
	}
	for i := range img.Present {
		if d := img.Present[i].Digest; !walk.met[d] {
			return fmt.Errorf("manifest %s is not a child of %s", d, img.Target.Digest)
		}
	}
	if len(walk.manifests) == 0 {
		return fmt.Errorf("index %s: none of its manifests is present", img.Target.Digest)
	}
	referrers, err := walk.referrers(img.Referrers)
	if err != nil {
		return err
	}
	if p.links += len(walk.present) + len(referrers); p.links > MaxLinks {
		return fmt.Errorf("more than %d manifests in one bundle", MaxLinks)
	}
	if err := p.budget.hold(costImage + costPresent*int64(len(walk.present)+len(referrers))); err != nil {
		return err
	}
	dgst, err := checkName(img.Name)
	if err != nil {
		return err
	}
	if knownUse(img.Artifact) != img.Artifact {
		return fmt.Errorf("unknown use %q of an artifact", img.Artifact)
	}
	p.addDocker(img.Name, dgst == "", walk.manifests)
	if p.opts.Flat {
		return p.addFlat(img, dgst, &walk, referrers)
	}
	if dgst != "" && dgst != img.Target.Digest {
		return fmt.Errorf("name does not match its target %s", img.Target.Digest)
	}
	p.images = append(p.images, Image{Name: img.Name, Target: plain(walk.present[0]), Present: walk.present, Referrers: referrers, Artifact: img.Artifact})
	p.entries = append(p.entries, indexEntry{name: img.Name, use: img.Artifact, desc: plain(walk.present[0])})
	return nil
}

// addFlat adds the manifests themselves under the name.
func (p *planner) addFlat(img *Image, dgst digest.Digest, walk *imageWalk, referrers []ocispec.Descriptor) error {
	for i := range walk.manifests {
		m := walk.manifests[i].desc
		if dgst != "" && dgst != m.Digest {
			return fmt.Errorf("a flat bundle cannot have the digest of an index as a name; use that of the manifest %s, or no flat bundle", m.Digest)
		}
		target := plain(m)
		target.Platform = m.Platform
		p.images = append(p.images, Image{Name: img.Name, Target: target, Present: []ocispec.Descriptor{m}, Referrers: referrers, Artifact: img.Artifact})
		p.entries = append(p.entries, indexEntry{name: img.Name, use: img.Artifact, desc: target})
	}
	return nil
}

// plain returns the fields that identify a blob.
func plain(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// load reads, checks and parses a manifest and completes its descriptor.
func (p *planner) load(desc *ocispec.Descriptor) (*manifest.Manifest, error) {
	if err := manifest.CheckDigest(desc.Digest); err != nil {
		return nil, err
	}
	raw, err := p.docs.Metadata(desc.Digest)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(raw); got != desc.Digest {
		return nil, &DigestError{Want: desc.Digest, Got: got, Size: int64(len(raw))}
	}
	if desc.Size != 0 && desc.Size != int64(len(raw)) {
		return nil, fmt.Errorf("manifest %s has %d bytes, its descriptor says %d", desc.Digest, len(raw), desc.Size)
	}
	lim := defaultLimits.manifest()
	lim.URLs = true
	doc, err := manifest.Parse(raw, lim)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", desc.Digest, err)
	}
	desc.Size, desc.MediaType = int64(len(raw)), doc.MediaType
	return doc, nil
}

// put records a blob at its first use. One digest has one size. A blob with several roles
// is a manifest rather than a config, and a config rather than a layer.
func (p *planner) put(desc ocispec.Descriptor, c class) error {
	if c == classLayer && p.omits(desc.Digest) {
		c = classOmitted
	}
	if at, ok := p.seen[desc.Digest]; ok {
		known := p.at(at)
		if known.Size != desc.Size {
			return fmt.Errorf("blob %s has %d bytes in one manifest and %d in another", desc.Digest, known.Size, desc.Size)
		}
		if at.class != classOmitted && len(known.URLs) == 0 {
			known.URLs = desc.URLs
		}
		if at.class <= c {
			return nil
		}
		// It was recorded in a later list: leave a hole there, which plan removes.
		known.Digest = ""
	}
	if desc.Size == 0 && desc.Digest != digest.FromBytes(nil) {
		return fmt.Errorf("blob %s cannot have 0 bytes", desc.Digest)
	}
	if err := p.charge(&desc, c); err != nil {
		return err
	}
	p.seen[desc.Digest] = place{c, int32(len(p.blobs[c]))}
	kept := plain(desc)
	kept.URLs = desc.URLs
	p.blobs[c] = append(p.blobs[c], Blob{Descriptor: kept, Manifest: c == classManifest})
	return nil
}

// charge counts a blob as a Reader does.
func (p *planner) charge(desc *ocispec.Descriptor, c class) error {
	cost := int64(costBlob)
	if c == classManifest || c == classConfig {
		cost += costDocument
		if err := p.budget.spend(desc.Size); err != nil {
			return err
		}
	}
	return p.budget.hold(cost)
}

// omits reports whether a layer is to be omitted. It calls Omit once for each.
func (p *planner) omits(d digest.Digest) bool {
	if at, ok := p.seen[d]; ok {
		return at.class == classOmitted
	}
	return p.opts.Omit != nil && p.opts.Omit(d)
}

func (p *planner) at(at place) *Blob { return &p.blobs[at.class][at.index] }

// plan joins the lists and computes the file.
func (p *planner) plan() (*Plan, error) {
	plan := &Plan{images: slices.Clone(p.images)}
	plan.blobs = slices.Concat(p.blobs[classManifest], p.blobs[classConfig], p.blobs[classLayer])
	plan.blobs = slices.DeleteFunc(plan.blobs, func(b Blob) bool { return b.Digest == "" })
	for _, b := range p.blobs[classOmitted] {
		if b.Digest != "" {
			plan.omitted = append(plan.omitted, plain(b.Descriptor))
		}
	}
	p.blobs, p.seen, p.images = [4][]Blob{}, nil, nil // megabytes, for thousands of images
	plan.at = make(map[digest.Digest]int32, len(plan.blobs))
	for i := range plan.blobs {
		plan.at[plan.blobs[i].Digest] = int32(i)
	}
	if len(plan.blobs)+8 > MaxEntries {
		return nil, fmt.Errorf("plan: %d blobs, a bundle holds %d entries", len(plan.blobs), MaxEntries)
	}
	if len(p.entries) > MaxNames {
		return nil, fmt.Errorf("plan: %d names, a bundle holds %d", len(p.entries), MaxNames)
	}
	var err error
	if plan.docker, err = p.docker.marshal(plan); err != nil {
		return nil, err
	}
	p.docker = dockerList{}
	if plan.index, err = p.marshalIndex(plan); err != nil {
		return nil, err
	}
	if len(plan.index) > MaxMetadata || len(plan.docker) > MaxMetadata {
		return nil, errors.New("plan: too many images for one bundle, its list would pass the limit")
	}
	plan.id = digest.FromBytes(plan.index)
	return plan, plan.layout()
}

// imageWalk is the walk over the manifests of one image.
type imageWalk struct {
	*planner
	chosen    map[digest.Digest]bool
	met       map[digest.Digest]bool
	present   []ocispec.Descriptor
	manifests []walked
}

// walked is a manifest of the walk, with the blobs it needs.
type walked struct {
	desc     ocispec.Descriptor
	config   digest.Digest
	layers   []digest.Digest // of a runnable image, else nil
	runnable bool
}

// visit adds a manifest and, parents first, the chosen ones below it.
func (w *imageWalk) visit(desc ocispec.Descriptor, depth int) error {
	if w.met[desc.Digest] {
		return nil
	}
	if depth > MaxDepth {
		return fmt.Errorf("index %s is nested deeper than %d", desc.Digest, MaxDepth)
	}
	w.met[desc.Digest] = true
	child := desc.MediaType
	doc, err := w.load(&desc)
	if err != nil {
		return err
	}
	if depth > 1 {
		if err := doc.CheckMediaType(child); err != nil {
			return err
		}
	}
	if !doc.Stated && child != "" {
		desc.MediaType = child
	}
	if _, known := w.seen[desc.Digest]; !known {
		if err := w.budget.hold(costChild * int64(len(doc.Children)+len(doc.Layers))); err != nil {
			return err
		}
	}
	if err := w.put(desc, classManifest); err != nil {
		return err
	}
	present := plain(desc)
	present.Platform, present.ArtifactType = desc.Platform, desc.ArtifactType
	if depth == 1 {
		// Some callers know the platform of a lone manifest and some do not; the bundle must not
		// depend on that.
		present.Platform = nil
	}
	w.present = append(w.present, present)
	if !doc.Index {
		return w.manifest(present, doc)
	}
	for _, c := range doc.Children {
		if !w.chosen[c.Digest] {
			continue
		}
		if err := w.visit(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// manifest adds the blobs of a manifest.
func (w *imageWalk) manifest(desc ocispec.Descriptor, doc *manifest.Manifest) error {
	m := walked{desc: desc, config: doc.Config.Digest, runnable: doc.Runnable()}
	if p := desc.Platform; p != nil && p.OS == "unknown" {
		m.runnable = false // BuildKit's attestations have an image config
	}
	if err := w.put(doc.Config, classConfig); err != nil {
		return err
	}
	for _, l := range doc.Layers {
		if err := w.put(l, classLayer); err != nil {
			return err
		}
		if m.runnable {
			// The digest as put stored it, so that equal ones share their memory.
			m.layers = append(m.layers, w.at(w.seen[l.Digest]).Digest)
		}
	}
	w.manifests = append(w.manifests, m)
	return nil
}

// addUnnamed adds a referrer to index.json, once.
func (p *planner) addUnnamed(desc ocispec.Descriptor) {
	if key := attachmentOf(desc); !p.refs[key] {
		p.refs[key] = true
		p.entries = append(p.entries, indexEntry{desc: desc})
	}
}

// referrers adds manifests about this image, sorted by digest and tag. In index.json they
// have no name.
func (w *imageWalk) referrers(list []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	list = slices.Clone(list)
	slices.SortFunc(list, compareReferrers) // the order of the blobs, too
	for _, desc := range list {
		kept, err := w.referrer(desc)
		if err != nil {
			return nil, fmt.Errorf("referrer %s: %w", desc.Digest, err)
		}
		out = append(out, kept)
	}
	return distinct(out), nil
}

// referrer adds one of them. Its tag is kept only if its subject does not say the same: the
// bundle must not depend on how the referrer was found.
func (w *imageWalk) referrer(desc ocispec.Descriptor) (ocispec.Descriptor, error) {
	tag := desc.Annotations[AnnotationTag]
	doc, err := w.load(&desc)
	if err != nil {
		return desc, err
	}
	about := doc.Subject
	if w.met[about] {
		tag = ""
	} else if tag != "" {
		if about, err = tagDigest(tag); err != nil {
			return desc, err
		}
	}
	if !w.met[about] || doc.Index {
		return desc, errors.New("not a manifest about this image")
	}
	if err := w.put(desc, classManifest); err != nil {
		return desc, err
	}
	kept, err := tagged(plain(desc), tag)
	if err != nil {
		return desc, err
	}
	kept.ArtifactType = cmp.Or(doc.ArtifactType, doc.Config.MediaType)
	sub := imageWalk{planner: w.planner}
	if err := sub.manifest(kept, doc); err != nil {
		return desc, err
	}
	w.addUnnamed(kept)
	return kept, nil
}
