package pull

import (
	"errors"

	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// parseManifest parses a manifest or index of the image called name. Its media type is the
// one that it states itself, or else the one in desc, which the registry or the parent
// stated.
func parseManifest(name string, raw []byte, desc ocispec.Descriptor) (*manifest.Manifest, error) {
	return parseWithin(manifest.Limits{Size: maxMetadata, Data: true, URLs: true, Strict: true}, name, raw, desc)
}

func parseWithin(lim manifest.Limits, name string, raw []byte, desc ocispec.Descriptor) (*manifest.Manifest, error) {
	m, err := manifest.Parse(raw, lim)
	var other *manifest.MediaTypeError
	var bad *manifest.DescriptorError
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
	case errors.As(err, &bad), errors.Is(err, manifest.ErrBoth), desc.MediaType == "",
		manifest.IsIndex(desc.MediaType), manifest.IsManifest(desc.MediaType):
		return nil, &UnsupportedError{Name: name, MediaType: oneLine(desc.MediaType), Err: err}
	}
	return nil, &UnsupportedError{Name: name, MediaType: oneLine(desc.MediaType)} // such as an HTML page
}
