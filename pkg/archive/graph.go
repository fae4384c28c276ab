package archive

import (
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// graph follows the names of an opened bundle to their layers. It reads each manifest once.
type graph struct {
	r       *Reader
	trees   map[digest.Digest]*tree
	omitted map[digest.Digest]int // index in r.omitted
	used    map[digest.Digest]bool
	names   map[string]platformSet
	links   int // in images
	nested  int // in trees, below indexes
}

// platformSet has the targets of a name by platform, see formatPlatform; "" stands for any.
type platformSet map[string]digest.Digest

// tree is a manifest and those below it that are in the bundle, parents first.
type tree struct {
	present []ocispec.Descriptor
	height  int
	subject digest.Digest
	leaves  int // manifests
}

func newGraph(r *Reader) *graph {
	g := &graph{
		r:       r,
		trees:   map[digest.Digest]*tree{},
		omitted: map[digest.Digest]int{},
		used:    map[digest.Digest]bool{},
		names:   map[string]platformSet{},
	}
	for i, d := range r.omitted {
		g.omitted[d.Digest] = i
	}
	return g
}

// follow checks all descriptors of index.json and sets the images of the reader.
func (g *graph) follow(list []manifest.Entry) error {
	var unnamed []ocispec.Descriptor
	for i := range list {
		w := &list[i]
		if err := w.Check(g.r.lim.blob); err != nil {
			return err
		}
		desc := w.Descriptor()
		t, err := g.tree(desc, 1)
		if err != nil {
			return err
		}
		name := w.Annotations.ImageName
		if !g.r.native {
			if name, err = otherName(name, w.Annotations.RefName); err != nil {
				return err
			}
		}
		if name == "" {
			d, err := tagged(t.present[0], w.Annotations.Tag)
			if err != nil {
				return err
			}
			unnamed = append(unnamed, d)
			if w.Annotations.Tag == "" && t.subject == "" && t.leaves > 0 {
				if err := g.r.budget.hold(costImage); err != nil {
					return err
				}
				g.r.nameless = append(g.r.nameless, Nameless{Target: plain(t.present[0]), Tag: w.Annotations.RefName, present: t.present})
			}
			continue
		}
		if err := g.image(name, desc, t, knownUse(w.Annotations.Artifact)); err != nil {
			return err
		}
	}
	if err := g.attach(unnamed); err != nil {
		return err
	}
	if len(g.used) != len(g.omitted) {
		return errors.New("index.json omits a layer that no image has")
	}
	return nil
}

// image adds a named image.
func (g *graph) image(name string, desc ocispec.Descriptor, t *tree, use string) error {
	dgst, err := checkName(name)
	if err != nil {
		return err
	}
	if dgst != "" && dgst != desc.Digest {
		return fmt.Errorf("name %s leads to %s", name, desc.Digest)
	}
	key, known := "", g.names[name]
	if desc.Platform != nil {
		key = formatPlatform(desc.Platform)
	}
	if known[key] == desc.Digest && !g.r.native {
		return nil // a short form of a name, or one with a tag beside the digest
	}
	if known[key] != "" || known[""] != "" || key == "" && len(known) > 0 {
		return fmt.Errorf("name %s appears twice", name)
	}
	if t.leaves == 0 {
		return fmt.Errorf("name %s: none of the manifests of index %s is present", name, desc.Digest)
	}
	if err := g.link(len(t.present)); err != nil {
		return err
	}
	if err := g.r.budget.hold(costImage); err != nil {
		return err
	}
	target := plain(t.present[0])
	if target.Platform, err = g.r.docs.platform(desc.Platform); err != nil {
		return err
	}
	if known == nil {
		g.names[name] = platformSet{}
	}
	g.names[name][key] = desc.Digest
	g.r.images = append(g.r.images, Image{Name: name, Target: target, Present: t.present, Artifact: use})
	return nil
}

// tree reads a manifest that is in the bundle and what is below it.
func (g *graph) tree(desc ocispec.Descriptor, depth int) (*tree, error) {
	if t := g.trees[desc.Digest]; t != nil {
		if depth+t.height-1 > g.r.lim.depth {
			return nil, fmt.Errorf("index %s nests deeper than %d", desc.Digest, g.r.lim.depth)
		}
		return t, g.same(desc, t)
	}
	if depth > g.r.lim.depth {
		return nil, fmt.Errorf("index %s nests deeper than %d", desc.Digest, g.r.lim.depth)
	}
	b, err := g.entry(desc)
	if err != nil {
		return nil, err
	}
	doc, err := g.r.document(b)
	if err != nil {
		return nil, err
	}
	if doc.stated && desc.MediaType != "" && doc.mediaType != desc.MediaType {
		return nil, g.r.damaged(b, adviceCopy, fmt.Errorf("manifest says it is %q, its descriptor %q", doc.mediaType, desc.MediaType))
	}
	if desc.Platform, err = g.r.docs.platform(desc.Platform); err != nil {
		return nil, err
	}
	desc.URLs, desc.Annotations = nil, nil
	if doc.stated || desc.MediaType == "" {
		desc.MediaType = doc.mediaType
	}
	b.Manifest, b.MediaType = true, desc.MediaType
	t := &tree{height: 1, subject: doc.subject}
	if doc.index {
		err = g.index(t, desc, doc, depth)
	} else {
		err = g.manifest(t, desc, doc)
	}
	g.trees[desc.Digest] = t
	return t, err
}

// same checks a second descriptor of a known manifest.
func (g *graph) same(desc ocispec.Descriptor, t *tree) error {
	known := t.present[0]
	if desc.Size != known.Size || (desc.MediaType != "" && desc.MediaType != known.MediaType) {
		return fmt.Errorf("two descriptors of %s do not agree", desc.Digest)
	}
	return nil
}

// entry finds the blob of a descriptor and compares sizes.
func (g *graph) entry(desc ocispec.Descriptor) (*Blob, error) {
	b, err := g.r.blob(desc.Digest)
	if err != nil {
		return nil, fmt.Errorf("blob %s is missing", desc.Digest)
	}
	if b.Size != desc.Size {
		return nil, g.r.damaged(b, adviceCopy, fmt.Errorf("%d bytes, its descriptor says %d", b.Size, desc.Size))
	}
	return b, nil
}

// index reads the children that are present.
func (g *graph) index(t *tree, desc ocispec.Descriptor, doc *document, depth int) error {
	t.present = append(t.present, desc)
	met := map[digest.Digest]bool{}
	listed := map[child]bool{}
	for _, c := range doc.list {
		if listed[c] || !g.r.Has(c.digest) {
			continue
		}
		listed[c] = true
		child, err := g.tree(c.descriptor(), depth+1)
		if err != nil {
			return err
		}
		t.height = max(t.height, child.height+1)
		for i, p := range child.present {
			if met[p.Digest] {
				continue
			}
			met[p.Digest] = true
			if i == 0 && c.platform != nil {
				p.Platform = c.platform
			}
			if g.nested++; g.nested > g.r.lim.link {
				return fmt.Errorf("more than %d manifests below indexes", g.r.lim.link)
			}
			if err := g.r.budget.hold(costPresent); err != nil {
				return err
			}
			t.present = append(t.present, p)
		}
		t.leaves += child.leaves
	}
	return nil
}

// manifest checks that a manifest has its config and layers.
func (g *graph) manifest(t *tree, desc ocispec.Descriptor, doc *document) error {
	platform, err := g.config(&doc.config)
	if err != nil {
		return fmt.Errorf("config of manifest %s: %w", desc.Digest, err)
	}
	switch {
	case !manifest.IsImageConfig(doc.config.mediaType) && doc.artifactType != "":
		desc.ArtifactType = doc.artifactType
	case !manifest.IsImageConfig(doc.config.mediaType):
		desc.ArtifactType = doc.config.mediaType
	case desc.Platform == nil && doc.runnable:
		desc.Platform = platform
	}
	for i := range doc.list {
		if err := g.layer(&doc.list[i]); err != nil {
			return fmt.Errorf("layer of manifest %s: %w", desc.Digest, err)
		}
	}
	if err := g.r.budget.hold(costPresent); err != nil {
		return err
	}
	t.present, t.leaves = append(t.present, desc), 1
	return nil
}

// config checks a config and returns the platform that an image's config states, or nil.
func (g *graph) config(c *child) (*ocispec.Platform, error) {
	b, err := g.entry(c.descriptor())
	if err != nil {
		return nil, err
	}
	known, err := g.r.config(b)
	if err != nil {
		return nil, err
	}
	if !b.Manifest {
		b.MediaType = c.mediaType
	}
	if _, twice := errors.AsType[*manifest.RepeatedKeyError](known.err); twice {
		return nil, g.r.damaged(b, adviceCopy, fmt.Errorf("image config: %w", known.err))
	}
	// A config that cannot be decoded is a fault of its images, not of the file.
	if known.platform == nil || known.platform.OS == "" || !manifest.IsImageConfig(c.mediaType) {
		return nil, nil
	}
	return known.platform, nil
}

// layer finds a layer in the tarball or among those omitted.
func (g *graph) layer(l *child) error {
	if i, ok := g.omitted[l.digest]; ok && !g.r.Has(l.digest) {
		o := &g.r.omitted[i]
		if o.Size != l.size {
			return fmt.Errorf("omitted blob %s has %d bytes, its descriptor says %d", l.digest, o.Size, l.size)
		}
		if o.MediaType == "" {
			o.MediaType = l.mediaType
		}
		g.used[l.digest] = true
		return nil
	}
	b, err := g.entry(l.descriptor())
	if err != nil {
		return err
	}
	if b.MediaType == "" {
		b.MediaType = l.mediaType
	}
	return nil
}
