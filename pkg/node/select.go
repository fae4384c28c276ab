package node

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
	"stowage/internal/usable"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/referrers"
)

// bundle is the part of [archive.Reader] that a load uses.
type bundle interface {
	Images() []archive.Image
	Nameless() []archive.Nameless
	Skipped() []archive.Skipped
	Digest() digest.Digest
	Base() digest.Digest
	Has(digest.Digest) bool
	Manifest(digest.Digest) (*archive.Manifest, error)
	Config(digest.Digest) (*archive.Config, error)
	About(ocispec.Descriptor) digest.Digest
	Hold(int64) error
	Open(digest.Digest) (*io.SectionReader, error)
}

// image is one target of a bundle, as selected for the platform of a node.
type image struct {
	names     []string             // in the bundle's order
	target    ocispec.Descriptor   // of the names
	manifests []ocispec.Descriptor // from the target down: indexes, then the manifest
	config    ocispec.Descriptor
	layers    []imageLayer         // of the root file system, lowest first
	blobs     []ocispec.Descriptor // layers of other types: stored, never unpacked
	artifact  bool                 // has no root file system
	referrers []referrers.Referrer // to keep with it; none for a check
}

// imageLayer is one layer of an image.
type imageLayer struct {
	ocispec.Descriptor
	diffID   digest.Digest // of the uncompressed tar (OCI image spec, config.md)
	chain    digest.Digest // chain ID of this layer and those below; the name of the snapshot
	parentID digest.Digest // chain ID of the layer below, empty for the lowest
}

// selection is what a node takes of a bundle.
type selection struct {
	images []*image
	failed []failure
}

// What an image and a layer of it take in memory while they are planned and loaded, in
// bytes.
const (
	costImage = 2 << 10
	costLayer = 1 << 10
)

// failure is a name whose image the node cannot use.
type failure struct {
	name     string
	target   digest.Digest
	err      error // a *usable.Error, or that the image is for other platforms
	platform bool  // the bundle has it for other platforms
}

// selectImages resolves every name of the bundle for one platform, by the rule of package
// usable. It reads only the bundle. Images are returned in the order of their first name;
// names with the same target are one image. In a flat bundle, which has a name once per
// platform, it selects the one that matches.
//
// An image that containerd cannot use on this platform is a failure of its names only. If
// none is for the platform, the error is a [*PlatformError], and if none has a name, a
// [*NamelessError].
func selectImages(b bundle, platform string) (*selection, error) {
	spec, err := platforms.Parse(platform)
	if err != nil {
		return nil, fmt.Errorf("platform of the node: %w", err)
	}
	if len(b.Images()) == 0 {
		return nil, &NamelessError{b.Nameless()}
	}
	s := &selection{}
	resolved := map[digest.Digest]*image{}
	refused := map[digest.Digest]error{}
	chosen := map[string]bool{}
	for _, in := range b.Images() {
		target := in.Target.Digest
		img, met := resolved[target]
		if !met {
			img, err = resolve(documents{b}, in.Target, usable.On(spec))
			if err != nil && !isFailure(err) {
				return nil, fmt.Errorf("read %s: %w", in.Name, err)
			}
			if img != nil {
				if err := b.Hold(costImage + costLayer*int64(len(img.layers)+len(img.blobs))); err != nil {
					return nil, err
				}
			}
			resolved[target], refused[target] = img, err
		}
		switch {
		case img == nil:
			s.failed = append(s.failed, failure{name: in.Name, target: target, err: refused[target]})
		case !chosen[in.Name]:
			if len(img.names) == 0 {
				s.images = append(s.images, img)
			}
			img.names = append(img.names, in.Name)
			chosen[in.Name] = true
		}
	}
	return s, s.settle(chosen, platform)
}

// addReferrers adds what is about the images, and returns what is not kept of it.
func (s *selection) addReferrers(b bundle) (left referrers.Left) {
	byTarget := map[digest.Digest]*image{}
	for _, img := range s.images {
		byTarget[img.target.Digest] = img
	}
	for _, in := range b.Images() {
		if img := byTarget[in.Target.Digest]; img != nil && len(in.Referrers) > 0 {
			delete(byTarget, in.Target.Digest) // other names have the same
			list, refused := referrers.Of(b, &in, img.manifests)
			img.referrers = list
			left.Join(refused)
		}
	}
	return left
}

// isFailure reports whether err is about one image and not about the bundle.
func isFailure(err error) bool {
	_, bad := errors.AsType[*usable.Error](err)
	return bad || isOtherPlatform(err)
}

// isOtherPlatform reports whether an image, or the part of it that is in the bundle, is for
// other platforms.
func isOtherPlatform(err error) bool {
	_, bad := errors.AsType[*usable.Error](err)
	return !bad && (errors.Is(err, usable.ErrNoPlatform) || errors.Is(err, archive.ErrNotFound))
}

// settle reduces the failures to one for each name that has no image.
func (s *selection) settle(chosen map[string]bool, platform string) error {
	byName := map[string]failure{}
	var names []string
	other := true
	for _, f := range s.failed {
		old, met := byName[f.name]
		switch {
		case chosen[f.name]:
			continue
		case !met:
			names = append(names, f.name)
		case !isOtherPlatform(old.err):
			continue
		}
		byName[f.name] = f
	}
	s.failed = nil
	for _, name := range names {
		f := byName[name]
		if f.platform = isOtherPlatform(f.err); f.platform {
			f.err = fmt.Errorf("the bundle has no manifest for %s of it", platform)
		}
		other = other && f.platform
		s.failed = append(s.failed, f)
	}
	if len(s.images) == 0 && len(names) > 0 && other {
		return &PlatformError{platform, names}
	}
	return nil
}

// resolve finds the manifest that containerd will choose for the platform: the CRI plugin
// must later choose the manifest that was loaded, also from a sparse index.
func resolve(docs documents, target ocispec.Descriptor, on usable.Platform) (*image, error) {
	target = ocispec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}
	found, err := usable.Select(docs, target, on)
	if err != nil {
		return nil, err
	}
	img := &image{target: target, manifests: found.Manifests, config: found.Manifest.Config, artifact: found.Artifact}
	chains := identity.ChainIDs(slices.Clone(found.Config.DiffIDs))
	for i, d := range found.Manifest.Layers {
		at := slices.Index(found.Layers, i)
		if at < 0 {
			img.blobs = append(img.blobs, d)
			continue
		}
		l := imageLayer{Descriptor: d, diffID: found.Config.DiffIDs[at], chain: chains[at]}
		if at > 0 {
			l.parentID = chains[at-1]
		}
		img.layers = append(img.layers, l)
	}
	return img, nil
}

// top returns the chain ID of the complete root file system, "" if the image has none.
func (img *image) top() digest.Digest {
	if len(img.layers) == 0 {
		return ""
	}
	return img.layers[len(img.layers)-1].chain
}

// documents returns the manifests and configs of a bundle, which the archive package has
// parsed, to package usable.
type documents struct{ bundle }

// Manifest implements [usable.Documents].
func (d documents) Manifest(desc ocispec.Descriptor) (*manifest.Manifest, error) {
	m, err := d.bundle.Manifest(desc.Digest)
	if err != nil {
		return nil, undecodable("manifest", desc.Digest, err)
	}
	return &manifest.Manifest{MediaType: m.MediaType, Index: m.Index, Children: m.Children, Config: m.Config, Layers: m.Layers}, nil
}

// Config implements [usable.Documents].
func (d documents) Config(desc ocispec.Descriptor) (*usable.Config, error) {
	c, err := d.bundle.Config(desc.Digest)
	if err != nil {
		return nil, undecodable("config", desc.Digest, err)
	}
	return &usable.Config{Platform: c.Platform, DiffIDs: c.DiffIDs}, nil
}

// undecodable returns err as an error about one image, unless it is about the bundle.
func undecodable(kind string, d digest.Digest, err error) error {
	if errors.Is(err, archive.ErrNotFound) || errors.Is(err, archive.ErrDamaged) {
		return err
	}
	return &usable.Error{Kind: kind, Digest: d, Reason: "containerd cannot decode it", Err: err}
}
