package pull

import (
	"context"
	"errors"
	"slices"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
	"stowage/internal/usable"
)

// checkUsable reads the configs of the chosen manifests and refuses an image that no
// containerd can use: on the node it would be too late. It returns the platforms for which
// containerd would not select one of the manifests, and whether the image is an artifact on
// all others. A config that is lost or damaged at the registry is not its concern: the caller
// fetches it with the other blobs.
func (t *target) checkUsable(ctx context.Context, present []ocispec.Descriptor, want []ocispec.Platform) (missing []ocispec.Platform, artifact bool, err error) {
	if t.client.opts.All {
		want = nil
		for _, d := range present {
			if d.Platform != nil && !manifest.IsIndex(d.MediaType) {
				want = append(want, *d.Platform)
			}
		}
	}
	images := 0
	for _, p := range want {
		img, err := usable.Select(documents{ctx, t}, present[0], usable.On(p))
		var bad *usable.Error
		var wrong *ContentError
		var config *configError
		switch {
		case err != nil && (isNotFound(err) || errors.As(err, &wrong)) && errors.As(err, &config):
		case errors.As(err, &bad):
			return nil, false, &UnsupportedError{Name: t.Name, MediaType: present[0].MediaType, Err: bad}
		case errors.Is(err, usable.ErrNoPlatform):
			missing = append(missing, p)
		case err != nil:
			return nil, false, err
		case img.Artifact:
			artifact = true
		default:
			images++
		}
	}
	return missing, artifact && images == 0, nil
}

// isArtifact reports whether a manifest without a platform is one without a root file system.
// A config that is not available is not its concern, as for checkUsable.
func (t *target) isArtifact(ctx context.Context, desc ocispec.Descriptor) bool {
	img, err := usable.Select(documents{ctx, t}, desc, usable.On(ocispec.Platform{}))
	return err == nil && img.Artifact
}

// documents are those of one image, as the rule reads them.
type documents struct {
	ctx context.Context
	*target
}

// Manifest implements [usable.Documents].
func (d documents) Manifest(desc ocispec.Descriptor) (*manifest.Manifest, error) {
	raw, err := d.manifest(d.ctx, desc)
	if err != nil {
		return nil, err
	}
	return usable.ParseManifest(raw, desc.Digest)
}

// Config implements [usable.Documents].
func (d documents) Config(desc ocispec.Descriptor) (*usable.Config, error) {
	raw, err := d.config(d.ctx, desc)
	if err != nil {
		return nil, &configError{err}
	}
	return usable.ParseConfig(raw, desc.Digest)
}

// configError is the error of fetching a config.
type configError struct{ error }

func (e *configError) Unwrap() error { return e.error }

// without returns the platforms of list that are not in other.
func without(list, other []ocispec.Platform) []ocispec.Platform {
	in := formatAll(other)
	return slices.DeleteFunc(slices.Clone(list), func(p ocispec.Platform) bool { return slices.Contains(in, formatAll([]ocispec.Platform{p})[0]) })
}
