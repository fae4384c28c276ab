package archive

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// A Manifest is a manifest or an index of a bundle. Of a descriptor it has the media type,
// the digest, the size, and the platform of a child.
type Manifest struct {
	MediaType string
	Index     bool
	Children  []ocispec.Descriptor // of an index, whether they are in the bundle or not
	Config    ocispec.Descriptor   // of a manifest
	Layers    []ocispec.Descriptor // of a manifest
}

// A Config is what a runtime reads of the config of an image to unpack it.
type Config struct {
	Platform ocispec.Platform
	DiffIDs  []digest.Digest // valid
}

// documents are the manifests and configs of a tarball. Each is read, hashed and parsed
// once; what is held of it is counted.
type documents struct {
	budget    *budget
	manifests map[digest.Digest]*document
	configs   map[digest.Digest]*config
	platforms map[string]*ocispec.Platform
}

func newDocuments(b *budget) *documents {
	return &documents{
		budget:    b,
		manifests: map[digest.Digest]*document{},
		configs:   map[digest.Digest]*config{},
		platforms: map[string]*ocispec.Platform{},
	}
}

// document is what is held of a manifest or an index.
type document struct {
	mediaType    string
	stated       bool // the media type
	index        bool
	runnable     bool
	artifactType string
	subject      digest.Digest
	undecodable  error
	config       child
	list         []child // layers or children
}

// child is what is held of a descriptor.
type child struct {
	mediaType string
	digest    digest.Digest
	size      int64
	platform  *ocispec.Platform // shared
}

func (c *child) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{MediaType: c.mediaType, Digest: c.digest, Size: c.size, Platform: c.platform}
}

// config is what is held of a config.
type config struct {
	platform *ocispec.Platform // shared
	diffIDs  []digestKey
	err      error // why containerd cannot decode it
}

// add parses a manifest or an index.
func (ds *documents) add(d digest.Digest, raw []byte) (*document, error) {
	m, err := manifest.Parse(raw, ds.budget.lim.manifest())
	if err != nil {
		return nil, err
	}
	list := m.Layers
	if m.Index {
		list = m.Children
	}
	if err := ds.budget.hold(costDocument + costChild*int64(len(list))); err != nil {
		return nil, err
	}
	doc := &document{
		mediaType: m.MediaType, stated: m.Stated, index: m.Index, runnable: m.Runnable(),
		artifactType: m.ArtifactType, undecodable: m.Undecodable, list: make([]child, len(list)),
	}
	if len(m.Subject) < 2*len(unsealed) { // its digest is not checked
		doc.subject = m.Subject
	}
	if doc.config, err = ds.child(&m.Config); err != nil {
		return nil, err
	}
	for i := range list {
		if doc.list[i], err = ds.child(&list[i]); err != nil {
			return nil, err
		}
	}
	ds.manifests[d] = doc
	return doc, nil
}

// parseIndex parses index.json.
func (ds *documents) parseIndex(raw []byte) (*manifest.Index, error) {
	lim := ds.budget.lim
	return manifest.ParseIndex(raw, lim.manifest(), lim.names, bundleAnnotations...)
}

func (ds *documents) child(d *ocispec.Descriptor) (child, error) {
	p, err := ds.platform(d.Platform)
	return child{d.MediaType, d.Digest, d.Size, p}, err
}

// platform returns the shared copy of a platform.
func (ds *documents) platform(p *ocispec.Platform) (*ocispec.Platform, error) {
	if p == nil {
		return nil, nil
	}
	key := strings.Join(append([]string{p.OS, p.Architecture, p.Variant, p.OSVersion}, p.OSFeatures...), "\x00")
	if known := ds.platforms[key]; known != nil {
		return known, nil
	}
	if err := ds.budget.hold(costPlatform + 2*int64(len(key)) + 16*int64(len(p.OSFeatures))); err != nil {
		return nil, err
	}
	ds.platforms[key] = p
	return p, nil
}

// addConfig parses a config. One that is not the config of an image is no error.
func (ds *documents) addConfig(d digest.Digest, raw []byte) (*config, error) {
	c := &config{}
	parsed, err := manifest.ParseConfig(raw, ds.budget.lim.manifest())
	if err != nil {
		c.err = err
		parsed = &manifest.Config{}
	}
	if err := ds.budget.hold(costDocument + int64(len(parsed.DiffIDs))*int64(len(digestKey{}))); err != nil {
		return nil, err
	}
	if parsed.Platform.OS+parsed.Platform.Architecture != "" {
		if c.platform, err = ds.platform(&parsed.Platform); err != nil {
			return nil, err
		}
	}
	c.diffIDs = make([]digestKey, len(parsed.DiffIDs))
	for i, id := range parsed.DiffIDs {
		if err := manifest.CheckDigest(id); err != nil {
			c.err, c.diffIDs = fmt.Errorf("diffID %d: %w", i+1, err), nil
			break
		}
		c.diffIDs[i] = keyOf(id)
	}
	ds.configs[d] = c
	return c, nil
}

// document returns a manifest or an index that is in the tarball.
func (r *Reader) document(b *Blob) (*document, error) {
	if doc := r.docs.manifests[b.Digest]; doc != nil {
		return doc, nil
	}
	raw, err := r.readDocument(b)
	if err != nil {
		return nil, err
	}
	doc, err := r.docs.add(b.Digest, raw)
	if err != nil {
		return nil, r.damaged(b, advice(err), err)
	}
	return doc, nil
}

// config returns a config that is in the tarball.
func (r *Reader) config(b *Blob) (*config, error) {
	if c := r.docs.configs[b.Digest]; c != nil {
		return c, nil
	}
	raw, err := r.readDocument(b)
	if err != nil {
		return nil, err
	}
	c, err := r.docs.addConfig(b.Digest, raw)
	if err != nil {
		return nil, r.damaged(b, advice(err), err)
	}
	return c, nil
}

// readDocument reads a manifest or config within the budget.
func (r *Reader) readDocument(b *Blob) ([]byte, error) {
	if b.Size <= r.lim.metadata {
		if err := r.budget.spend(b.Size); err != nil {
			return nil, r.damaged(b, adviceLimit, err)
		}
	}
	return r.Metadata(b.Digest)
}

// Manifest returns a manifest or index that belongs to an image, or [ErrNotFound], or
// what is wrong with it: that is no damage of the file, but no runtime can decode it.
func (r *Reader) Manifest(d digest.Digest) (*Manifest, error) {
	doc := r.docs.manifests[d]
	if doc == nil {
		return nil, fmt.Errorf("manifest %s in %s: %w", d, r.Name(), ErrNotFound)
	}
	// An index that many others list must not cost its length each time.
	if err := r.budget.spend(costChild * int64(len(doc.list))); err != nil {
		return nil, r.damaged(&r.blobs[r.at[d]], adviceLimit, err)
	}
	if doc.undecodable != nil {
		return nil, doc.undecodable
	}
	list := make([]ocispec.Descriptor, len(doc.list))
	for i := range doc.list {
		list[i] = doc.list[i].descriptor()
	}
	m := &Manifest{MediaType: doc.mediaType, Index: doc.index}
	if doc.index {
		m.Children = list
	} else {
		m.Config, m.Layers = doc.config.descriptor(), list
	}
	return m, nil
}

// Config returns the config of a manifest that belongs to an image, or [ErrNotFound], or
// what is wrong with it, as Manifest does.
func (r *Reader) Config(d digest.Digest) (*Config, error) {
	c := r.docs.configs[d]
	if c == nil {
		return nil, fmt.Errorf("config %s in %s: %w", d, r.Name(), ErrNotFound)
	}
	if c.err != nil {
		return nil, c.err
	}
	if err := r.budget.spend(costChild * int64(len(c.diffIDs))); err != nil {
		return nil, r.damaged(&r.blobs[r.at[d]], adviceLimit, err)
	}
	out := &Config{DiffIDs: make([]digest.Digest, len(c.diffIDs))}
	if c.platform != nil {
		out.Platform = *c.platform
	}
	for i := range c.diffIDs {
		out.DiffIDs[i] = digest.NewDigestFromBytes(digest.SHA256, c.diffIDs[i][:])
	}
	return out, nil
}

// advice returns what to do about a manifest that cannot be parsed.
func advice(err error) string {
	if isBudget(err) {
		return adviceLimit
	}
	return adviceCopy
}
