package bundle

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
	"stowage/pkg/pull"
)

// digestGuard stops a flat run at the first name with the digest of an index: a flat bundle
// holds no index. Whether a digest is that of an index is known when its manifest arrives;
// the manifest is kept, and no further request is made.
type digestGuard struct {
	*manifests
	platforms []ocispec.Platform
	names     map[digest.Digest]string // of a flat bundle
	stop      context.CancelCauseFunc  // ends the resolving
}

func newDigestGuard(req *Request, m *manifests, images []Image) *digestGuard {
	g := &digestGuard{manifests: m, platforms: req.Platforms, names: map[digest.Digest]string{}}
	for _, img := range images {
		if d := digestOf(img.Name); d != "" && req.Flat {
			g.names[d] = img.Name
		}
	}
	return g
}

// digestOf returns the digest in a name, or "".
func digestOf(name string) digest.Digest {
	named, err := reference.ParseNormalizedNamed(name)
	if d, ok := named.(reference.Digested); ok && err == nil {
		return d.Digest()
	}
	return ""
}

// AddMetadata implements [pull.MetadataStore].
func (g *digestGuard) AddMetadata(raw []byte) (digest.Digest, error) {
	d, err := g.manifests.AddMetadata(raw)
	if err != nil {
		return d, err
	}
	if err := g.check(d, raw); err != nil {
		g.stop(err)
		return d, err
	}
	return d, nil
}

// held checks the manifests that need no request.
func (g *digestGuard) held() error {
	for _, d := range slices.Sorted(maps.Keys(g.names)) {
		if raw, err := g.Metadata(d); err == nil {
			if err := g.check(d, raw); err != nil {
				return err
			}
		}
	}
	return nil
}

// check returns a [*FlatDigestError] for an index.
func (g *digestGuard) check(d digest.Digest, raw []byte) error {
	name := g.names[d]
	if name == "" {
		return nil
	}
	parsed, err := manifest.Parse(raw, manifest.Limits{})
	if err != nil || len(parsed.Children) == 0 {
		return nil // it is a manifest, or the plan refuses it
	}
	refused := &FlatDigestError{Name: name}
	for _, child := range parsed.Children {
		if g.wanted(child.Platform) {
			refused.Manifest = child.Digest
			break
		}
	}
	return refused
}

// wanted reports whether a platform is one of the request, close enough for a hint.
func (g *digestGuard) wanted(have *ocispec.Platform) bool {
	return have != nil && slices.ContainsFunc(g.platforms, func(want ocispec.Platform) bool {
		return want.OS == have.OS && want.Architecture == have.Architecture
	})
}

// resolve asks the registries what the names mean. In a flat run names with a digest come
// first: one pull each shows whether they can be in the bundle.
func (m *maker) resolve(ctx context.Context) ([]pull.Resolved, []pull.Failure, error) {
	if err := m.digests.held(); err != nil {
		return nil, nil, err
	}
	refs := make([]pull.Query, len(m.images))
	for i, img := range m.images {
		refs[i] = pull.Query{Name: img.Name, Secrets: img.Secrets}
	}
	if m.req.Flat {
		slices.SortStableFunc(refs, func(a, b pull.Query) int {
			return cmp.Compare(len(digestOf(b.Name)), len(digestOf(a.Name)))
		})
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	m.digests.stop = stop
	images, failures, err := m.client.Resolve(ctx, refs)
	if refused := (*FlatDigestError)(nil); err != nil && errors.As(context.Cause(ctx), &refused) {
		err = refused
	}
	return images, failures, err
}
