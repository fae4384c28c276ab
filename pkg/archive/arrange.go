package archive

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// arranger walks images in the order of their names and collects each blob at its
// first use: documents, configs and layers in three lists that then follow each other.
type arranger struct {
	docs Documents
	opts PlanOptions

	images []Image
	tops   []topEntry
	blobs  [4][]Blob // by class
	seen   map[digest.Digest]place
	refs   map[attachment]bool // referrers in tops
	docker dockerList
	links  int
}

// class orders blobs in the file.
type class uint8

const (
	classDocument class = iota
	classConfig
	classLayer
	classOmitted
)

// place is where a digest was put: its class and the index in that class's list.
type place struct {
	class class
	index int32
}

func newArranger(docs Documents, opts PlanOptions) *arranger {
	return &arranger{
		docs: docs, opts: opts,
		seen:   map[digest.Digest]place{},
		refs:   map[attachment]bool{},
		docker: dockerList{at: map[digest.Digest]int{}},
	}
}

// add takes up one image: its documents from the target down, then its referrers.
func (a *arranger) add(img *Image) error {
	walk := imageWalk{arranger: a, wanted: map[digest.Digest]bool{img.Target.Digest: true}, met: map[digest.Digest]bool{}}
	for i := range img.Present {
		walk.wanted[img.Present[i].Digest] = true
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
	if a.links += len(walk.present) + len(referrers); a.links > MaxLinks {
		return fmt.Errorf("more than %d manifests in one bundle", MaxLinks)
	}
	pinned, err := checkName(img.Name)
	if err != nil {
		return err
	}
	a.dockerEntry(img.Name, pinned == "", walk.manifests)
	if a.opts.Flat {
		return a.addFlat(img.Name, pinned, &walk, referrers)
	}
	if pinned != "" && pinned != img.Target.Digest {
		return fmt.Errorf("name does not match its target %s", img.Target.Digest)
	}
	a.images = append(a.images, Image{Name: img.Name, Target: plain(walk.present[0]), Present: walk.present, Referrers: referrers})
	a.tops = append(a.tops, topEntry{name: img.Name, desc: plain(walk.present[0])})
	return nil
}

// addFlat puts the manifests themselves under the name.
func (a *arranger) addFlat(name string, pinned digest.Digest, walk *imageWalk, referrers []ocispec.Descriptor) error {
	for i := range walk.manifests {
		m := walk.manifests[i].desc
		if pinned != "" && pinned != m.Digest {
			return fmt.Errorf("the digest of an index cannot be kept in a flat bundle; pin the manifest %s or leave out flat", m.Digest)
		}
		target := plain(m)
		target.Platform = m.Platform
		a.images = append(a.images, Image{Name: name, Target: target, Present: []ocispec.Descriptor{m}, Referrers: referrers})
		a.tops = append(a.tops, topEntry{name: name, desc: target})
	}
	return nil
}

// plain keeps what identifies a blob.
func plain(d ocispec.Descriptor) ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
}

// load reads, checks and parses a document and completes its descriptor.
func (a *arranger) load(desc *ocispec.Descriptor) (*manifest.Manifest, error) {
	if err := manifest.CheckDigest(desc.Digest); err != nil {
		return nil, err
	}
	raw, err := a.docs.Document(desc.Digest)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(raw); got != desc.Digest {
		return nil, &DigestError{Want: desc.Digest, Got: got, Size: int64(len(raw))}
	}
	if desc.Size != 0 && desc.Size != int64(len(raw)) {
		return nil, fmt.Errorf("manifest %s has %d bytes, its descriptor says %d", desc.Digest, len(raw), desc.Size)
	}
	doc, err := manifest.Parse(raw, defaultLimits.manifest())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", desc.Digest, err)
	}
	desc.Size, desc.MediaType = int64(len(raw)), doc.MediaType
	return doc, nil
}

// put records a blob at its first use. One digest has one size; documents come before
// configs before layers where one blob is several of them.
func (a *arranger) put(desc ocispec.Descriptor, c class) error {
	if c == classLayer && a.omits(desc.Digest) {
		c = classOmitted
	}
	if p, ok := a.seen[desc.Digest]; ok {
		known := a.at(p)
		if known.Size != desc.Size {
			return fmt.Errorf("blob %s has %d bytes in one manifest and %d in another", desc.Digest, known.Size, desc.Size)
		}
		if p.class != classOmitted && len(known.URLs) == 0 {
			known.URLs = desc.URLs
		}
		if p.class <= c {
			return nil
		}
		// Met before as something that stands later in the file: leave a hole there,
		// which plan closes.
		known.Digest = ""
	}
	if desc.Size == 0 && desc.Digest != digest.FromBytes(nil) {
		return fmt.Errorf("blob %s cannot have 0 bytes", desc.Digest)
	}
	a.seen[desc.Digest] = place{c, int32(len(a.blobs[c]))}
	kept := plain(desc)
	kept.URLs = desc.URLs
	a.blobs[c] = append(a.blobs[c], Blob{Descriptor: kept, Document: c == classDocument})
	return nil
}

// omits tells whether a layer is to be left out. Each is asked for once.
func (a *arranger) omits(d digest.Digest) bool {
	if p, ok := a.seen[d]; ok {
		return p.class == classOmitted
	}
	return a.opts.Omit != nil && a.opts.Omit(d)
}

func (a *arranger) at(p place) *Blob { return &a.blobs[p.class][p.index] }

// plan closes the lists and computes the file.
func (a *arranger) plan() (*Plan, error) {
	p := &Plan{images: slices.Clone(a.images)}
	p.blobs = slices.Concat(a.blobs[classDocument], a.blobs[classConfig], a.blobs[classLayer])
	p.blobs = slices.DeleteFunc(p.blobs, func(b Blob) bool { return b.Digest == "" })
	for _, b := range a.blobs[classOmitted] {
		if b.Digest != "" {
			p.omitted = append(p.omitted, plain(b.Descriptor))
		}
	}
	a.blobs, a.seen, a.images = [4][]Blob{}, nil, nil // of thousands of images they are megabytes
	p.at = make(map[digest.Digest]int32, len(p.blobs))
	for i := range p.blobs {
		p.at[p.blobs[i].Digest] = int32(i)
	}
	if len(p.blobs)+8 > MaxEntries {
		return nil, fmt.Errorf("plan: %d blobs, a bundle holds %d entries", len(p.blobs), MaxEntries)
	}
	if len(a.tops) > MaxNames {
		return nil, fmt.Errorf("plan: %d names, a bundle holds %d", len(a.tops), MaxNames)
	}
	var err error
	if p.docker, err = a.docker.marshal(p); err != nil {
		return nil, err
	}
	a.docker = dockerList{}
	if p.index, err = a.marshalIndex(p); err != nil {
		return nil, err
	}
	if len(p.index) > MaxDocument || len(p.docker) > MaxDocument {
		return nil, errors.New("plan: too many images for one bundle, its list would pass the limit")
	}
	p.id = digest.FromBytes(p.index)
	return p, p.layout()
}

// imageWalk is the walk over the documents of one image.
type imageWalk struct {
	*arranger
	wanted    map[digest.Digest]bool
	met       map[digest.Digest]bool
	present   []ocispec.Descriptor
	manifests []walked
}

// walked is a manifest on the way, with what it needs.
type walked struct {
	desc     ocispec.Descriptor
	config   digest.Digest
	layers   []digest.Digest // of a runnable image, else nil
	runnable bool
}

// visit takes up a document and, parents first, the wanted ones below it.
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
	if err := w.put(desc, classDocument); err != nil {
		return err
	}
	present := plain(desc)
	present.Platform, present.ArtifactType = desc.Platform, desc.ArtifactType
	if depth == 1 {
		// Callers may or may not know the platform of a lone manifest; the bundle must not depend on it.
		present.Platform = nil
	}
	w.present = append(w.present, present)
	if !doc.Index {
		return w.manifest(present, doc)
	}
	for _, c := range doc.Children {
		if !w.wanted[c.Digest] {
			continue
		}
		if err := w.visit(c, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// manifest takes up the blobs of a manifest.
func (w *imageWalk) manifest(desc ocispec.Descriptor, doc *manifest.Manifest) error {
	m := walked{desc: desc, config: doc.Config.Digest, runnable: doc.Runnable()}
	if p := desc.Platform; p != nil && p.OS == "unknown" {
		m.runnable = false // BuildKit's attestations carry an image config
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
