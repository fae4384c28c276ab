// Package manifest parses the two kinds of JSON that image names lead to: image
// manifests and image indexes, of the OCI and of Docker.
//
// It is the one place that decodes them, because they come from registries and from files
// of unknown origin: sizes and counts have limits before memory is spent on them, every
// descriptor has a valid digest and size, and what two programs could read differently is
// refused (CVE-2021-41190).
//
//	m, err := manifest.Parse(raw, manifest.Limits{})
//	if m.Index {
//		// m.Children
//	} else {
//		// m.Config, m.Layers
//	}
//
// Specifications: image-manifest.md, image-index.md and descriptor.md of image-spec v1.1.1;
// Docker image manifest version 2, schema 2.
package manifest

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// MaxSize bounds what is held in memory in one piece: a manifest, an index, a config,
	// in bytes. Registries refuse manifests above 4 MiB; the rest is room for large configs
	// and for indexes of many thousand names.
	MaxSize = 8 << 20

	// MaxDescriptors bounds the layers of one manifest and the children of one index.
	MaxDescriptors = 1 << 12

	// MaxBlob bounds the size that a descriptor may state, in bytes.
	MaxBlob = 1 << 40
)

// Limits are the bounds of one call. A field that is 0 means the default.
type Limits struct {
	Size        int64 // of the manifest and of its config, in bytes; MaxSize
	Blob        int64 // of any other descriptor, in bytes; MaxBlob
	Descriptors int   // in one list; MaxDescriptors

	// URLs keeps the addresses of descriptors, the first few of each.
	URLs bool

	// Data keeps the content embedded in descriptors (image-spec v1.1, "Embedded Content").
	// It is not verified.
	Data bool

	// Strict refuses what the types of image-spec, with which containerd decodes manifests,
	// cannot hold: annotations that are not strings, embedded content that is not base64.
	Strict bool

	// AnySchema accepts a manifest without a schema version. Some registries and clients
	// leave it out of lists of referrers.
	AnySchema bool
}

func (l Limits) withDefaults() Limits {
	l.Size = cmp.Or(l.Size, MaxSize)
	l.Blob = cmp.Or(l.Blob, MaxBlob)
	l.Descriptors = cmp.Or(l.Descriptors, MaxDescriptors)
	return l
}

// A Manifest is a parsed image manifest or image index.
type Manifest struct {
	// MediaType is the media type that the manifest states. A manifest that states none
	// has the OCI media type of its kind, and Stated is false.
	MediaType string
	Stated    bool

	Index        bool                 // it is an index, and Config and Layers are not set
	Children     []ocispec.Descriptor // of an index
	Config       ocispec.Descriptor   // of a manifest
	Layers       []ocispec.Descriptor // of a manifest
	ArtifactType string
	Subject      digest.Digest // the manifest this one is about, unchecked, or ""

	// Undecodable says why the types of image-spec, with which containerd decodes manifests,
	// cannot hold it, although its descriptors are valid. With Limits.Strict Parse returns it.
	Undecodable error
}

// ErrSchema1 is in the error about a manifest of Docker's schema 1, which containerd 2
// and current docker no longer run.
var ErrSchema1 = errors.New("docker schema 1 manifest, which no current runtime accepts")

// ErrBoth means that a manifest is an index as well: two programs would see two different
// images in it (CVE-2021-41190).
var ErrBoth = errors.New("index and manifest at once")

// ErrForm is in the error about JSON that is neither an index nor a manifest and states
// no media type.
var ErrForm = errors.New("neither index nor manifest")

// A MediaTypeError reports a manifest or index that states another media type, or JSON
// that states the media type of neither.
type MediaTypeError struct {
	Index     bool   // it has the form of an index
	MediaType string // stated
}

func (e *MediaTypeError) Error() string {
	if e.Index {
		return fmt.Sprintf("index says it is %q", e.MediaType)
	}
	return fmt.Sprintf("manifest says it is %q", e.MediaType)
}

// wireManifest is the union of both forms.
type wireManifest struct {
	schemaVersion int64
	mediaType     string
	artifactType  string
	config        *Entry
	layers        []Entry // nil if there is no list
	manifests     []Entry // nil if there is no list
	subject       *Entry
	schema1       bool
	malformed     bool // annotations that containerd cannot decode
}

var manifestKeys = []string{"schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "annotations", "fsLayers"}

// manifest reads an image manifest or an image index.
func (d *decoder) manifest() (w wireManifest, err error) {
	if d.peek() != '{' {
		return w, errors.New("not an object")
	}
	entry := func() (*Entry, error) {
		if d.null() {
			return nil, nil
		}
		e, err := d.entry()
		return &e, err
	}
	err = d.object("manifest", manifestKeys, func(key string) (err error) {
		switch key {
		case "schemaVersion":
			w.schemaVersion, err = d.number(key)
		case "mediaType":
			w.mediaType, err = d.mediaType(key)
		case "artifactType":
			w.artifactType, err = d.mediaType(key)
		case "config":
			w.config, err = entry()
		case "subject":
			w.subject, err = entry()
		case "layers":
			w.layers, err = d.entries(key, d.lim.Descriptors)
		case "manifests":
			w.manifests, err = d.entries(key, d.lim.Descriptors)
		case "fsLayers":
			w.schema1 = true
		case "annotations":
			var ok bool
			ok, err = d.annotations(key, nil, nil)
			w.malformed = !ok
		}
		return err
	})
	return w, err
}

// Parse decodes and checks an image manifest or an image index. It keeps no part of raw.
// The error is [ErrSchema1], [ErrForm], [ErrBoth], a [*MediaTypeError], a
// [*DescriptorError], or one that only its text describes.
func Parse(raw []byte, lim Limits) (*Manifest, error) {
	lim = lim.withDefaults()
	d, err := newDecoder(raw, lim)
	if err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	w, err := d.manifest()
	if err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	m := &Manifest{MediaType: w.mediaType, Stated: w.mediaType != "", ArtifactType: w.artifactType}
	if w.subject != nil {
		m.Subject = w.subject.Digest
	}
	switch {
	case w.schemaVersion == 1 || w.schema1:
		return nil, ErrSchema1
	case w.mediaType != "" && !IsIndex(w.mediaType) && !IsManifest(w.mediaType):
		return nil, &MediaTypeError{Index: w.manifests != nil, MediaType: m.MediaType}
	case w.schemaVersion != 2 && !(lim.AnySchema && w.schemaVersion == 0):
		return nil, fmt.Errorf("schema version %d, want 2", w.schemaVersion)
	case w.manifests != nil && (w.config != nil || w.layers != nil):
		return nil, ErrBoth
	case w.malformed:
		m.Undecodable = descriptorErrorf("annotations are not strings")
	}
	switch {
	case w.manifests != nil:
		err = m.setIndex(&w, lim)
	case w.config != nil:
		err = m.setManifest(&w, lim)
	default:
		err = ErrForm
	}
	if err == nil && lim.Strict {
		err = m.Undecodable
	}
	return m, err
}

func (m *Manifest) setIndex(w *wireManifest, lim Limits) (err error) {
	m.Index = true
	if m.MediaType == "" {
		m.MediaType = ocispec.MediaTypeImageIndex
	}
	if !IsIndex(m.MediaType) {
		return &MediaTypeError{Index: true, MediaType: m.MediaType}
	}
	m.Children, err = m.descriptors(w.manifests, lim)
	return err
}

func (m *Manifest) setManifest(w *wireManifest, lim Limits) (err error) {
	if m.MediaType == "" {
		m.MediaType = ocispec.MediaTypeImageManifest
	}
	if !IsManifest(m.MediaType) {
		return &MediaTypeError{MediaType: m.MediaType}
	}
	if err := m.check(w.config, lim); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if w.config.Size > lim.Size {
		return descriptorErrorf("config %s has %d bytes, the limit is %d", w.config.Digest, w.config.Size, lim.Size)
	}
	m.Config = w.config.descriptor(lim)
	if w.layers != nil {
		if m.Layers, err = m.descriptors(w.layers, lim); err != nil {
			return err
		}
	}
	for _, b := range append(m.Layers[:len(m.Layers):len(m.Layers)], m.Config) {
		if b.Size == 0 && b.Digest != emptyDigest {
			return descriptorErrorf("blob %s cannot have 0 bytes", b.Digest)
		}
	}
	return nil
}

// emptyDigest is the only digest of a blob with 0 bytes.
var emptyDigest = digest.FromBytes(nil)

// Runnable reports whether m is an image and not an artifact (a chart, a signature, an
// attestation): it has an image config, and file system layers only.
func (m *Manifest) Runnable() bool {
	if m.Index || !IsImageConfig(m.Config.MediaType) {
		return false
	}
	for i := range m.Layers {
		if !IsLayer(m.Layers[i].MediaType) {
			return false
		}
	}
	return true
}

// CheckMediaType compares the media type that m states with the one in the descriptor
// that led to it. Either may state none.
func (m *Manifest) CheckMediaType(descriptor string) error {
	if m.Stated && descriptor != "" && descriptor != m.MediaType {
		return fmt.Errorf("manifest says it is %q, its descriptor %q", m.MediaType, descriptor)
	}
	return nil
}
