package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unique"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of Docker's distribution schema 2; the rest are in image-spec.
const (
	mediaDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaDockerConfig   = "application/vnd.docker.container.image.v1+json"
)

// Documents gives raw manifests and indexes by digest; an error with [ErrNotFound]
// in it when it has none. [*Draft] and [*Reader] are such.
type Documents interface {
	Document(d digest.Digest) ([]byte, error)
}

// document is what the bundle needs to know of a manifest or index.
type document struct {
	mediaType    string // as the document says, else by its shape
	stated       bool   // the document said it itself
	artifactType string
	index        bool
	children     []ocispec.Descriptor // of an index
	config       ocispec.Descriptor   // of a manifest
	layers       []ocispec.Descriptor // of a manifest
	subject      digest.Digest        // what the document is about, or ""
}

// wireDocument is the union of image-manifest.md and image-index.md of image-spec
// v1.1.1 and of Docker's schema 2. A document that is both at once is refused below:
// two programs would see two different images in it (CVE-2021-41190).
type wireDocument struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	ArtifactType  string          `json:"artifactType"`
	Config        *wireDescriptor `json:"config"`
	Layers        *wireList       `json:"layers"`
	Manifests     *wireList       `json:"manifests"`
	Subject       *wireDescriptor `json:"subject"`
	FSLayers      json.RawMessage `json:"fsLayers"`
}

// wireDescriptor leaves out the annotations but those that index.json needs, so that
// a hostile document cannot grow in memory.
type wireDescriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       digest.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls"`
	Platform     *ocispec.Platform `json:"platform"`
	ArtifactType string            `json:"artifactType"`
	Annotations  struct {
		ImageName string `json:"io.containerd.image.name"`
		RefName   string `json:"org.opencontainers.image.ref.name"`
		Tag       string `json:"dev.stowage.bundle.tag"`
	} `json:"annotations"`
}

func (w *wireDescriptor) descriptor() ocispec.Descriptor {
	return ocispec.Descriptor{
		MediaType: intern(w.MediaType), Digest: w.Digest, Size: w.Size, URLs: w.URLs,
		Platform: w.Platform, ArtifactType: w.ArtifactType,
	}
}

// intern gives the one copy of a media type: a few of them stand in thousands of
// descriptors.
func intern(mediaType string) string { return unique.Make(mediaType).Value() }

// check refuses descriptors no blob can answer.
func (w *wireDescriptor) check(lim limits) error {
	if err := checkDigest(w.Digest); err != nil {
		return err
	}
	if w.Size < 0 || w.Size > lim.blob {
		return fmt.Errorf("size %d of %s is out of bounds", w.Size, w.Digest)
	}
	return nil
}

// wireList reads an array of descriptors one by one: eight megabytes of "{}," would
// otherwise become hundreds before anybody counted them.
type wireList struct{ list []wireDescriptor }

// hardList stops a list while it is read, whatever limit is then applied to it.
const hardList = MaxNames + 1

func (l *wireList) UnmarshalJSON(raw []byte) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('[') {
		return errors.New("descriptors are not a list")
	}
	for dec.More() {
		if len(l.list) >= hardList {
			return fmt.Errorf("more than %d descriptors in one list", hardList)
		}
		var d wireDescriptor
		if err := dec.Decode(&d); err != nil {
			return err
		}
		l.list = append(l.list, d)
	}
	return nil
}

// descriptors checks and converts a list.
func (l *wireList) descriptors(lim limits) ([]ocispec.Descriptor, error) {
	if len(l.list) > lim.descriptors {
		return nil, fmt.Errorf("%d descriptors, the limit is %d", len(l.list), lim.descriptors)
	}
	out := make([]ocispec.Descriptor, len(l.list))
	for i := range l.list {
		if err := l.list[i].check(lim); err != nil {
			return nil, err
		}
		out[i] = l.list[i].descriptor()
	}
	return out, nil
}

// parseDocument reads a manifest or an index.
func parseDocument(raw []byte, lim limits) (*document, error) {
	if int64(len(raw)) > lim.document {
		return nil, fmt.Errorf("%d bytes, the limit is %d", len(raw), lim.document)
	}
	var w wireDocument
	if err := json.Unmarshal(raw, &w); err != nil {
		return nil, fmt.Errorf("parse manifest: %w", err)
	}
	d := &document{mediaType: intern(w.MediaType), stated: w.MediaType != "", artifactType: w.ArtifactType}
	if w.Subject != nil {
		d.subject = w.Subject.Digest
	}
	switch {
	case w.SchemaVersion == 1 || w.FSLayers != nil:
		return nil, errors.New("docker schema 1 manifest, which no runtime takes any more")
	case w.SchemaVersion != 2:
		return nil, fmt.Errorf("schema version %d, want 2", w.SchemaVersion)
	case w.Manifests != nil && (w.Config != nil || w.Layers != nil):
		return nil, errors.New("index and manifest at once")
	case w.Manifests != nil:
		return d, d.fillIndex(&w, lim)
	case w.Config != nil:
		return d, d.fillManifest(&w, lim)
	}
	return nil, errors.New("neither index nor manifest")
}

func (d *document) fillIndex(w *wireDocument, lim limits) (err error) {
	d.index = true
	if d.mediaType == "" {
		d.mediaType = ocispec.MediaTypeImageIndex
	}
	if d.mediaType != ocispec.MediaTypeImageIndex && d.mediaType != mediaDockerIndex {
		return fmt.Errorf("index says it is %q", d.mediaType)
	}
	d.children, err = w.Manifests.descriptors(lim)
	return err
}

func (d *document) fillManifest(w *wireDocument, lim limits) (err error) {
	if d.mediaType == "" {
		d.mediaType = ocispec.MediaTypeImageManifest
	}
	if d.mediaType != ocispec.MediaTypeImageManifest && d.mediaType != mediaDockerManifest {
		return fmt.Errorf("manifest says it is %q", d.mediaType)
	}
	if err := w.Config.check(lim); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if w.Config.Size > lim.document {
		return fmt.Errorf("config %s has %d bytes, the limit is %d", w.Config.Digest, w.Config.Size, lim.document)
	}
	d.config = w.Config.descriptor()
	if w.Layers != nil {
		d.layers, err = w.Layers.descriptors(lim)
	}
	return err
}

// runnable tells an image from an artifact (a chart, a signature, an attestation):
// an image config, and file system layers only.
func (d *document) runnable() bool {
	if d.index || !isImageConfig(d.config.MediaType) {
		return false
	}
	for i := range d.layers {
		if !isLayer(d.layers[i].MediaType) {
			return false
		}
	}
	return true
}

func isImageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == mediaDockerConfig
}

func isLayer(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.") ||
		strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.")
}

// agree compares a document with the descriptor that led to it.
func (d *document) agree(desc ocispec.Descriptor) error {
	if d.stated && desc.MediaType != "" && desc.MediaType != d.mediaType {
		return fmt.Errorf("manifest says it is %q, its descriptor %q", d.mediaType, desc.MediaType)
	}
	return nil
}
