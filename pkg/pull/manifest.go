package pull

import (
	"encoding/json"

	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// mediaType of a document: what it says itself, as the image specification asks, or what
// the registry or the parent said.
func mediaType(raw []byte, said string) string {
	var doc struct {
		MediaType     string          `json:"mediaType"`
		SchemaVersion int             `json:"schemaVersion"`
		Manifests     json.RawMessage `json:"manifests"`
		Config        json.RawMessage `json:"config"`
	}
	if json.Unmarshal(raw, &doc) != nil {
		return said
	}
	switch {
	case doc.MediaType != "":
		return doc.MediaType
	case doc.SchemaVersion == 1:
		return string(types.DockerManifestSchema1)
	case isIndex(said) || isManifest(said):
		return said
	case doc.Manifests != nil:
		return ocispec.MediaTypeImageIndex
	case doc.Config != nil:
		return ocispec.MediaTypeImageManifest
	}
	return said
}

func isIndex(mt string) bool    { return types.MediaType(mt).IsIndex() }
func isManifest(mt string) bool { return types.MediaType(mt).IsImage() }

func isImageConfig(mt string) bool {
	return mt == ocispec.MediaTypeImageConfig || mt == string(types.DockerConfigJSON)
}
