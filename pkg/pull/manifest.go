package pull

import (
	"errors"
	"fmt"

	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// parseManifest parses a manifest or index of the image called name. Its media type is the
// one that it states itself, or else the one in desc, which the registry or the parent
// stated.
func parseManifest(name string, raw []byte, desc ocispec.Descriptor) (*manifest.Manifest, error) {
	m, err := manifest.Parse(raw, manifest.Limits{Size: maxMetadata, Data: true})
	var other *manifest.MediaTypeError
	switch {
	case err == nil:
		if !m.Stated && (m.Index && manifest.IsIndex(desc.MediaType) || !m.Index && manifest.IsManifest(desc.MediaType)) {
			m.MediaType = desc.MediaType
		}
		return m, nil
	case errors.Is(err, manifest.ErrSchema1):
		return nil, &UnsupportedError{Name: name, MediaType: string(types.DockerManifestSchema1)}
	case errors.As(err, &other):
		return nil, &UnsupportedError{Name: name, MediaType: oneLine(other.MediaType)}
	case errors.Is(err, manifest.ErrForm), !canBeManifest(desc.MediaType):
		return nil, &UnsupportedError{Name: name, MediaType: oneLine(desc.MediaType)}
	}
	return nil, fmt.Errorf("%s: manifest %s: %w", name, desc.Digest, err)
}

// canBeManifest reports whether a descriptor with this media type may lead to a manifest
// or index.
func canBeManifest(mediaType string) bool {
	return mediaType == "" || manifest.IsIndex(mediaType) || manifest.IsManifest(mediaType)
}
