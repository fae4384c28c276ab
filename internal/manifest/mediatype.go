package manifest

import (
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Media types of Docker's schema 2. Those of the OCI are in image-spec.
const (
	MediaTypeDockerIndex    = "application/vnd.docker.distribution.manifest.list.v2+json"
	MediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	MediaTypeDockerConfig   = "application/vnd.docker.container.image.v1+json"
)

// IsIndex reports whether mediaType is that of an image index.
func IsIndex(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageIndex || mediaType == MediaTypeDockerIndex
}

// IsManifest reports whether mediaType is that of an image manifest.
func IsManifest(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageManifest || mediaType == MediaTypeDockerManifest
}

// IsImageConfig reports whether mediaType is that of an image's config.
func IsImageConfig(mediaType string) bool {
	return mediaType == ocispec.MediaTypeImageConfig || mediaType == MediaTypeDockerConfig
}

// IsLayer reports whether containerd takes mediaType for that of a layer of the root file
// system, compressed or not (core/images/mediatypes.go).
func IsLayer(mediaType string) bool {
	if strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.") {
		return true
	}
	base, _, _ := strings.Cut(mediaType, "+")
	switch base {
	case "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.docker.image.rootfs.foreign.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "application/vnd.erofs.layer.v1":
		return true
	}
	return false
}
