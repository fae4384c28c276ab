package usable

import (
	"github.com/opencontainers/go-digest"

	"stowage/internal/manifest"
)

// A Config is what the rule needs of an image's config.
type Config = manifest.Config

// ParseManifest parses a manifest or an index with the digest d. What containerd cannot
// decode is an [*Error].
func ParseManifest(raw []byte, d digest.Digest) (*manifest.Manifest, error) {
	m, err := manifest.Parse(raw, manifest.Limits{Strict: true})
	if err != nil {
		return nil, &Error{Kind: "manifest", Digest: d, Reason: "containerd cannot decode it", Err: err}
	}
	return m, nil
}

// ParseConfig parses the config of an image or an artifact with the digest d. containerd's
// CRI plugin decodes it for every name; a config of which it cannot is an [*Error]. Nothing
// of raw is kept but what is in the result.
func ParseConfig(raw []byte, d digest.Digest) (*Config, error) {
	c, err := manifest.ParseConfig(raw, manifest.Limits{})
	if err != nil {
		return nil, &Error{Kind: "config", Digest: d, Reason: "containerd cannot decode it", Err: err}
	}
	return c, nil
}
