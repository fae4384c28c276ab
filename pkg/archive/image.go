package archive

import (
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Image is a name and the manifests it stands for.
type Image struct {
	// Name is "repo:tag" or "repo@digest", normalised; see [Names].
	Name string `json:"name"`

	// Target is the index or manifest that the name refers to. Only its media type, digest
	// and size matter; a plan takes a missing size from the manifest.
	Target ocispec.Descriptor `json:"target"`

	// Present lists the indexes and manifests of the image that are in the bundle: Target
	// first, parents before children, with Platform where it is known. [NewPlan] takes it as
	// the choice of platforms: the order does not matter, and Target need not be listed.
	Present []ocispec.Descriptor `json:"present"`

	// Referrers are manifests in the bundle about one of Present (signatures, attestations,
	// SBOMs), by digest and tag. They have no name. Each has a subject or an [AnnotationTag]
	// that says which manifest it is about.
	Referrers []ocispec.Descriptor `json:"referrers,omitempty"`

	// Artifact is ArtifactVolume if the image is an artifact, without a root file system, that
	// a pod needs as an image volume: containerd cannot mount it. It is "" for all other
	// images, and in a bundle made before there was this mark.
	Artifact string `json:"artifact,omitempty"`
}

// ArtifactVolume says that a pod needs an artifact as an image volume.
const ArtifactVolume = "image-volume"

// knownUse returns use if it is a use of an artifact, else "".
func knownUse(use string) string {
	if use == ArtifactVolume {
		return use
	}
	return ""
}

// A Blob is one content-addressed entry of a bundle.
type Blob struct {
	ocispec.Descriptor       // media type as at its first use; in a plan, URLs as well
	Offset             int64 // of its first byte in the tarball
	Manifest           bool  // it is a manifest or an index
}

// Skipped is a name that was requested and that could not be included in the bundle, or not
// for every platform.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`

	// Platforms lists the platforms that the image in the bundle lacks, as
	// "linux/arm64,linux/s390x". It is empty when the image is not in the bundle.
	Platforms string `json:"platforms,omitempty"`

	// Class is "indirect" if no container or pod needs the image to start, as far as its
	// manifests tell. Empty means that it is required, also in bundles made before there were
	// classes.
	Class string `json:"class,omitempty"`
}

// On reports whether a node of a platform lacks the image. Without a known platform it
// reports whether every node does.
func (s *Skipped) On(platform string) bool {
	return s.Platforms == "" || slices.Contains(strings.Split(s.Platforms, ","), platform)
}

// ClassIndirect is the class of a skipped image that no pod needs to start.
const ClassIndirect = "indirect"

// formatPlatform returns "linux/arm64/v8", with the version where Windows needs it.
func formatPlatform(p *ocispec.Platform) string {
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	if p.OSVersion != "" {
		s += "(" + p.OSVersion + ")"
	}
	return s
}
