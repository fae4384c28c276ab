package why

import (
	"errors"
	"slices"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
	"stowage/internal/usable"
)

// documents returns manifests and configs of containerd's content store or of a bundle. It
// implements [usable.Documents].
type documents func(ocispec.Descriptor) ([]byte, error)

// Manifest implements [usable.Documents].
func (get documents) Manifest(d ocispec.Descriptor) (*manifest.Manifest, error) {
	raw, err := get(d)
	if err != nil {
		return nil, err
	}
	return usable.ParseManifest(raw, d.Digest)
}

// Config implements [usable.Documents].
func (get documents) Config(d ocispec.Descriptor) (*usable.Config, error) {
	raw, err := get(d)
	if err != nil {
		return nil, err
	}
	return usable.ParseConfig(raw, d.Digest)
}

// examine returns what the image below target holds for a node of the platform. has reports
// whether a blob is there.
func (get documents) examine(target ocispec.Descriptor, on usable.Platform, has func(digest.Digest) bool) contents {
	c := contents{platforms: get.platforms(target, has)}
	img, err := usable.Select(get, target, on)
	bad := (*usable.Error)(nil)
	switch {
	case errors.Is(err, usable.ErrNoPlatform) || errors.As(err, &bad):
		return c
	case err != nil:
		c.matches, c.lacks = true, 1 // a manifest or a config is missing
		return c
	}
	c.matches, c.artifact = true, img.Artifact
	for _, l := range img.Manifest.Layers {
		if !has(l.Digest) {
			c.lacks++
		}
	}
	return c
}

// platforms lists the platforms whose manifests are there.
func (get documents) platforms(target ocispec.Descriptor, has func(digest.Digest) bool) []string {
	m, err := get.Manifest(target)
	if err != nil {
		return nil
	}
	if !m.Index {
		c, err := get.Config(m.Config)
		if err != nil || c.Platform.Architecture == "" {
			return nil
		}
		return []string{platforms.FormatAll(platforms.Normalize(c.Platform))}
	}
	var all []string
	for _, child := range m.Children {
		if child.Platform == nil || child.Platform.OS == "unknown" || !has(child.Digest) {
			continue // an attestation, or not there
		}
		if p := platforms.FormatAll(platforms.Normalize(*child.Platform)); !slices.Contains(all, p) {
			all = append(all, p)
		}
	}
	return all
}
