package archive

import (
	"encoding/json"
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
	configs map[digest.Digest]*ocispec.Platform
	omitted map[digest.Digest]int // index in r.omitted
	used    map[digest.Digest]bool
	names   map[string][]int // name to images
	links   int              // in images
	held    int              // in trees
}

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
		configs: map[digest.Digest]*ocispec.Platform{},
		omitted: map[digest.Digest]int{},
		used:    map[digest.Digest]bool{},
		names:   map[string][]int{},
	}
	for i, d := range r.omitted {
		g.omitted[d.Digest] = i
	}
	return g
}

// follow checks all descriptors of index.json and sets the images of the reader.
func (g *graph) follow(list manifest.List) error {
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
		if name == "" {
			// Other programs write a bare tag here, which is not a name.
			if _, err := checkName(w.Annotations.RefName); err == nil {
				name = w.Annotations.RefName
			}
		}
		if name == "" {
			d, err := tagged(t.present[0], w.Annotations.Tag)
			if err != nil {
				return err
			}
			unnamed = append(unnamed, d)
			continue
		}
		if err := g.image(name, desc, t); err != nil {
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
func (g *graph) image(name string, desc ocispec.Descriptor, t *tree) error {
	dgst, err := checkName(name)
	if err != nil {
		return err
	}
	if dgst != "" && dgst != desc.Digest {
		return fmt.Errorf("name %s leads to %s", name, desc.Digest)
	}
	for _, i := range g.names[name] {
		other := g.r.images[i].Target.Platform
		if other == nil || desc.Platform == nil || formatPlatform(other) == formatPlatform(desc.Platform) {
			return fmt.Errorf("name %s appears twice", name)
		}
	}
	if t.leaves == 0 {
		return fmt.Errorf("name %s: none of the manifests of index %s is present", name, desc.Digest)
	}
	if err := g.link(len(t.present)); err != nil {
		return err
	}
	target := plain(t.present[0])
	target.Platform = desc.Platform
	g.names[name] = append(g.names[name], len(g.r.images))
	g.r.images = append(g.r.images, Image{Name: name, Target: target, Present: t.present})
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
	raw, err := g.r.Metadata(desc.Digest)
	if err != nil {
		return nil, err
	}
	doc, err := manifest.Parse(raw, g.r.lim.manifest())
	if err == nil {
		err = doc.CheckMediaType(desc.MediaType)
	}
	if err != nil {
		return nil, g.r.damaged(b, adviceCopy, err)
	}
	desc.URLs, desc.Annotations = nil, nil
	if doc.Stated || desc.MediaType == "" {
		desc.MediaType = doc.MediaType
	}
	b.Manifest, b.MediaType = true, desc.MediaType
	t := &tree{height: 1, subject: doc.Subject}
	if doc.Index {
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
func (g *graph) index(t *tree, desc ocispec.Descriptor, doc *manifest.Manifest, depth int) error {
	t.present = append(t.present, desc)
	met := map[digest.Digest]bool{}
	for _, c := range doc.Children {
		if !g.r.Has(c.Digest) {
			continue
		}
		child, err := g.tree(c, depth+1)
		if err != nil {
			return err
		}
		t.height = max(t.height, child.height+1)
		for i, p := range child.present {
			if met[p.Digest] {
				continue
			}
			met[p.Digest] = true
			if i == 0 && c.Platform != nil {
				p.Platform = c.Platform
			}
			t.present = append(t.present, p)
			if g.held++; g.held > g.r.lim.link {
				return fmt.Errorf("more than %d manifests below indexes", g.r.lim.link)
			}
		}
		t.leaves += child.leaves
	}
	return nil
}

// manifest checks that a manifest has its config and layers.
func (g *graph) manifest(t *tree, desc ocispec.Descriptor, doc *manifest.Manifest) error {
	platform, err := g.config(doc.Config)
	if err != nil {
		return fmt.Errorf("config of manifest %s: %w", desc.Digest, err)
	}
	switch {
	case !manifest.IsImageConfig(doc.Config.MediaType) && doc.ArtifactType != "":
		desc.ArtifactType = doc.ArtifactType
	case !manifest.IsImageConfig(doc.Config.MediaType):
		desc.ArtifactType = doc.Config.MediaType
	case desc.Platform == nil && doc.Runnable():
		desc.Platform = platform
	}
	for _, l := range doc.Layers {
		if err := g.layer(l); err != nil {
			return fmt.Errorf("layer of manifest %s: %w", desc.Digest, err)
		}
	}
	t.present, t.leaves = append(t.present, desc), 1
	return nil
}

// config checks a config, once for all manifests that share it, and returns the platform
// that an image's config states, or nil.
func (g *graph) config(desc ocispec.Descriptor) (*ocispec.Platform, error) {
	b, err := g.entry(desc)
	if err != nil {
		return nil, err
	}
	if p, ok := g.configs[desc.Digest]; ok {
		return p, nil
	}
	raw, err := g.r.Metadata(desc.Digest)
	if err != nil {
		return nil, err
	}
	if !b.Manifest {
		b.MediaType = desc.MediaType
	}
	var p *ocispec.Platform
	if manifest.IsImageConfig(desc.MediaType) && (json.Unmarshal(raw, &p) != nil || p != nil && p.OS == "") {
		p = nil // a config that cannot be decoded is a fault of its images, not of the file
	}
	g.configs[desc.Digest] = p
	return p, nil
}

// layer finds a layer in the tarball or among those omitted.
func (g *graph) layer(l ocispec.Descriptor) error {
	if i, ok := g.omitted[l.Digest]; ok && !g.r.Has(l.Digest) {
		o := &g.r.omitted[i]
		if o.Size != l.Size {
			return fmt.Errorf("omitted blob %s has %d bytes, its descriptor says %d", l.Digest, o.Size, l.Size)
		}
		if o.MediaType == "" {
			o.MediaType = l.MediaType
		}
		g.used[l.Digest] = true
		return nil
	}
	b, err := g.entry(l)
	if err != nil {
		return err
	}
	if b.MediaType == "" {
		b.MediaType, b.URLs = l.MediaType, l.URLs
	}
	return nil
}
