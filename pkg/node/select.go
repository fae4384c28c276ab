package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
)

// bundle is the part of [archive.Reader] that a load uses.
type bundle interface {
	Images() []archive.Image
	Digest() digest.Digest
	Base() digest.Digest
	Has(digest.Digest) bool
	Metadata(digest.Digest) ([]byte, error)
	Open(digest.Digest) (*io.SectionReader, error)
}

// image is one target of a bundle, as selected for the platform of a node.
type image struct {
	names     []string             // in the bundle's order
	target    ocispec.Descriptor   // of the names
	manifests []ocispec.Descriptor // from the target down: indexes, then the manifest
	config    ocispec.Descriptor
	layers    []imageLayer // lowest first
	artifact  bool         // has no root file system: stored, never unpacked
}

// imageLayer is one layer of an image.
type imageLayer struct {
	ocispec.Descriptor
	diffID   digest.Digest // of the uncompressed tar (OCI image spec, config.md)
	chain    digest.Digest // chain ID of this layer and those below; the name of the snapshot
	parentID digest.Digest // chain ID of the layer below, empty for the lowest
}

// selectImages resolves every name of the bundle for one platform. It reads only the
// bundle. Images are returned in the order of their first name; names with the same target
// are one image. In a flat bundle, which has a name once per platform, it selects the one
// that matches.
//
// All names without an image for the platform are returned in one [*PlatformError].
func selectImages(ctx context.Context, b bundle, platform string) ([]*image, error) {
	spec, err := platforms.Parse(platform)
	if err != nil {
		return nil, fmt.Errorf("platform of the node: %w", err)
	}
	match := platforms.Only(spec)
	resolved := map[digest.Digest]*image{}
	chosen := map[string]*image{}
	var order []*image
	var lacking []string
	for _, in := range b.Images() {
		img, ok := resolved[in.Target.Digest]
		if !ok {
			if img, err = resolve(ctx, b, in.Target, match); err != nil && !errdefs.IsNotFound(err) {
				return nil, fmt.Errorf("read %s: %w", in.Name, err)
			}
			resolved[in.Target.Digest] = img
		}
		switch {
		case img == nil:
			lacking = append(lacking, in.Name)
		case chosen[in.Name] == nil:
			if len(img.names) == 0 {
				order = append(order, img)
			}
			img.names = append(img.names, in.Name)
			chosen[in.Name] = img
		}
	}
	lacking = slices.DeleteFunc(lacking, func(name string) bool { return chosen[name] != nil })
	if len(lacking) > 0 {
		return nil, &PlatformError{platform, slices.Compact(lacking)}
	}
	return order, nil
}

// resolve finds the manifest that containerd will choose for the platform, with
// containerd's own function: the CRI plugin must later choose the manifest that was
// loaded, also from a sparse index. It returns errdefs.ErrNotFound when the bundle has
// none for the platform.
func resolve(ctx context.Context, b bundle, target ocispec.Descriptor, match platforms.MatchComparer) (*image, error) {
	provider := &metadataProvider{bundle: b}
	target = ocispec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size}
	manifest, err := images.Manifest(ctx, provider, target, match)
	if err != nil {
		return nil, err
	}
	img := &image{target: target, config: manifest.Config}
	for _, d := range provider.read {
		if images.IsIndexType(d.MediaType) || images.IsManifestType(d.MediaType) {
			img.manifests = append(img.manifests, d)
		}
	}
	raw, err := b.Metadata(manifest.Config.Digest)
	if err != nil {
		return nil, err
	}
	if err := img.addLayers(raw, manifest.Layers); err != nil {
		return nil, err
	}
	var p ocispec.Platform
	if !img.artifact && json.Unmarshal(raw, &p) == nil && p.OS+p.Architecture != "" && !match.Match(p) {
		return nil, fmt.Errorf("config %s is for %s: %w", manifest.Config.Digest, platforms.Format(p), errdefs.ErrNotFound)
	}
	return img, nil
}

// addLayers combines the layers of the manifest with the diffIDs of the config.
func (img *image) addLayers(config []byte, layers []ocispec.Descriptor) error {
	var parsed struct {
		RootFS ocispec.RootFS `json:"rootfs"`
	}
	err := json.Unmarshal(config, &parsed)
	if !images.IsConfigType(img.config.MediaType) && (err != nil || len(parsed.RootFS.DiffIDs) == 0) {
		img.artifact = true
		for _, d := range layers {
			img.layers = append(img.layers, imageLayer{Descriptor: d})
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("config %s: %w: %w", img.config.Digest, err, archive.ErrDamaged)
	}
	if len(layers) != len(parsed.RootFS.DiffIDs) {
		return fmt.Errorf("config %s lists %d layers, the manifest %d: %w",
			img.config.Digest, len(parsed.RootFS.DiffIDs), len(layers), archive.ErrDamaged)
	}
	chains := identity.ChainIDs(slices.Clone(parsed.RootFS.DiffIDs))
	for i, d := range layers {
		if err := parsed.RootFS.DiffIDs[i].Validate(); err != nil {
			return fmt.Errorf("config %s: diffID %q: %w: %w", img.config.Digest, parsed.RootFS.DiffIDs[i], err, archive.ErrDamaged)
		}
		if strings.HasSuffix(d.MediaType, "+encrypted") {
			return fmt.Errorf("layer %s: encrypted layers cannot be unpacked", d.Digest)
		}
		l := imageLayer{Descriptor: d, diffID: parsed.RootFS.DiffIDs[i], chain: chains[i]}
		if i > 0 {
			l.parentID = chains[i-1]
		}
		img.layers = append(img.layers, l)
	}
	return nil
}

// top returns the chain ID of the complete root file system, "" if the image has none.
func (img *image) top() digest.Digest {
	if img.artifact || len(img.layers) == 0 {
		return ""
	}
	return img.layers[len(img.layers)-1].chain
}

// metadataProvider lets containerd's image functions read the metadata of a bundle, and
// records what they read.
type metadataProvider struct {
	bundle bundle
	read   []ocispec.Descriptor
}

// ReaderAt implements [content.Provider].
func (p *metadataProvider) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if !p.bundle.Has(desc.Digest) {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	raw, err := p.bundle.Metadata(desc.Digest)
	if err != nil {
		return nil, err
	}
	p.read = append(p.read, desc)
	return memoryBlob{bytes.NewReader(raw)}, nil
}

// memoryBlob is a blob in memory.
type memoryBlob struct{ *bytes.Reader }

// Close implements [content.ReaderAt].
func (memoryBlob) Close() error { return nil }
