package usable

import (
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// unpackable returns why containerd cannot unpack a layer of a media type, "" if it can.
func unpackable(mediaType string) string {
	base, suffix, _ := strings.Cut(mediaType, "+")
	suffixes := strings.Split(suffix, "+")
	if slices.Contains(suffixes, "encrypted") {
		return "it is encrypted"
	}
	slices.Sort(suffixes)
	switch last := suffixes[len(suffixes)-1]; base {
	case ocispec.MediaTypeImageLayer, "application/vnd.oci.image.layer.nondistributable.v1.tar":
		if last == "" || last == "gzip" || last == "zstd" {
			return ""
		}
	case "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip",
		"application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.docker.image.rootfs.foreign.diff.tar",
		"application/vnd.docker.image.rootfs.foreign.diff.tar.gzip":
		if suffix == "" {
			return ""
		}
	}
	return fmt.Sprintf("containerd cannot unpack the media type %q", mediaType)
}
