// Package usable decides which images a node's containerd can use: one rule for the program
// that makes bundles and the one that loads them.
//
// The rule is that of containerd's pull for the kubelet. An image is usable if containerd
// selects one of its manifests for the platform, can decode the manifest and the config,
// has a diffID for each file system layer, and can unpack all of them:
//
//	img, err := usable.Select(documents, target, usable.On(platform))
//	if bad, ok := errors.AsType[*usable.Error](err); ok {
//		// this image, for the reason in bad, is not usable on any node of the platform
//	}
//
// Sources, of containerd 2.4: core/images/image.go (Manifest), core/images/mediatypes.go,
// core/unpack/unpacker.go (unpack), core/diff/stream.go, client/image.go (getLayers),
// core/images/usage and internal/cri/store/image (getImage).
package usable

import (
	"errors"
	"fmt"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// maxDepth bounds indexes within indexes.
const maxDepth = 8

// ErrNoPlatform says that an image is for other platforms than the one selected.
var ErrNoPlatform = errors.New("no manifest for the platform")

// An Error reports that containerd cannot use an image, and why.
type Error struct {
	Kind   string        // what is at fault: "manifest", "index", "config" or "layer"
	Digest digest.Digest // of what is at fault
	Reason string        // without the digest
	Err    error         // the cause, may be nil
}

// Error returns one line with the digest and the reason.
func (e *Error) Error() string {
	s := fmt.Sprintf("%s %s: %s", e.Kind, e.Digest, e.Reason)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Documents are the manifests, indexes and configs of images. An error that is not an
// [Error], such as one about a missing blob, ends [Select] and is returned as it is.
type Documents interface {
	// Manifest returns a manifest or an index; [ParseManifest] parses it.
	Manifest(ocispec.Descriptor) (*manifest.Manifest, error)
	// Config returns the config of a manifest; [ParseConfig] parses it.
	Config(ocispec.Descriptor) (*Config, error)
}

// An Image is what containerd selects for a platform.
type Image struct {
	Manifests []ocispec.Descriptor // from the target down: indexes, then the manifest
	Manifest  *manifest.Manifest   // the last of Manifests
	Config    *Config

	// Layers are the positions in Manifest.Layers of the layers of the root file system. The
	// i-th has the diffID Config.DiffIDs[i]. containerd stores the other layers and does
	// nothing with them.
	Layers []int

	// Artifact says that there is no root file system: a chart or a model, for example.
	Artifact bool
}

// A Platform is the platform that images are selected for.
type Platform struct {
	spec  ocispec.Platform
	match platforms.MatchComparer
}

// On returns the platform of a node, which runs what containerd on it would select.
func On(p ocispec.Platform) Platform {
	p = platforms.Normalize(p)
	return Platform{p, platforms.Only(p)}
}

// Runs reports whether the platform runs an image whose config states have. What have
// leaves empty means the platform itself.
func (p Platform) Runs(have ocispec.Platform) bool {
	if have.OS == "" {
		have.OS, have.OSVersion = p.spec.OS, p.spec.OSVersion
	}
	if have.Architecture == "" {
		have.Architecture, have.Variant = p.spec.Architecture, p.spec.Variant
	}
	return p.match.Match(have)
}

// Select returns what containerd selects below target for the platform. The error is
// [ErrNoPlatform], an [*Error], or one of docs.
func Select(docs Documents, target ocispec.Descriptor, on Platform) (*Image, error) {
	img := &Image{}
	for d, depth := target, 0; ; depth++ {
		m, err := checked(docs, d)
		if err != nil {
			return nil, err
		}
		if depth == maxDepth {
			return nil, &Error{Kind: "index", Digest: target.Digest, Reason: fmt.Sprintf("indexes nested more than %d deep", maxDepth)}
		}
		img.Manifests = append(img.Manifests, d)
		if !m.Index {
			img.Manifest = m
			break
		}
		if d, err = choose(docs, d, m, on); err != nil {
			return nil, err
		}
	}
	return img, img.check(docs, on)
}

// checked returns a manifest or an index of the kind that its descriptor states.
func checked(docs Documents, d ocispec.Descriptor) (*manifest.Manifest, error) {
	if !manifest.IsIndex(d.MediaType) && !manifest.IsManifest(d.MediaType) {
		return nil, &Error{Kind: "manifest", Digest: d.Digest, Reason: fmt.Sprintf("media type %q is not that of an image or an index", d.MediaType)}
	}
	m, err := docs.Manifest(d)
	if err == nil && m.Index != manifest.IsIndex(d.MediaType) {
		return nil, &Error{Kind: "manifest", Digest: d.Digest, Reason: fmt.Sprintf("it is a %q, its descriptor says %q", m.MediaType, d.MediaType)}
	}
	return m, err
}

// choose returns the entry of an index that containerd selects: the best for the platform,
// or else the first without a platform. It examines no second one.
func choose(docs Documents, d ocispec.Descriptor, index *manifest.Manifest, on Platform) (ocispec.Descriptor, error) {
	var best, first *ocispec.Descriptor
	without := 0
	for i := range index.Children {
		switch c := &index.Children[i]; {
		case c.Platform == nil:
			if without++; first == nil {
				first = c
			}
		case on.match.Match(*c.Platform) && (best == nil || on.match.Less(*c.Platform, *best.Platform)):
			best = c
		}
	}
	if best != nil {
		return *best, nil
	}
	if first == nil {
		return ocispec.Descriptor{}, ErrNoPlatform
	}
	if err := agrees(docs, *first, on); err != nil {
		if errors.Is(err, ErrNoPlatform) && without > 1 {
			err = &Error{
				Kind: "index", Digest: d.Digest,
				Reason: fmt.Sprintf("%d entries without a platform, of which containerd examines only the first", without), Err: err,
			}
		}
		return ocispec.Descriptor{}, err
	}
	if without < len(index.Children) {
		return ocispec.Descriptor{}, &Error{Kind: "index", Digest: d.Digest, Reason: "the entry for the platform does not state it, and other entries state theirs"}
	}
	return *first, nil
}

// agrees returns ErrNoPlatform unless the config of a manifest, to which an entry without a
// platform leads, states the platform. An empty architecture is none here.
func agrees(docs Documents, d ocispec.Descriptor, on Platform) error {
	m, err := checked(docs, d)
	if err != nil || m.Index {
		return err
	}
	c, err := docs.Config(m.Config)
	if err != nil {
		return err
	}
	have := c.Platform
	if have.OS == "" {
		have.OS = on.spec.OS
	}
	if !on.match.Match(have) {
		return fmt.Errorf("%s is for %q: %w", d.Digest, platforms.FormatAll(have), ErrNoPlatform)
	}
	return nil
}

// check finds the root file system of the image and whether containerd can unpack it.
func (img *Image) check(docs Documents, on Platform) (err error) {
	m := img.Manifest
	if img.Config, err = docs.Config(m.Config); err != nil {
		return err
	}
	for i := range m.Layers {
		if manifest.IsLayer(m.Layers[i].MediaType) {
			img.Layers = append(img.Layers, i)
		}
	}
	diffIDs := img.Config.DiffIDs
	if !manifest.IsImageConfig(m.Config.MediaType) && (len(diffIDs) == 0 || len(diffIDs) != len(img.Layers)) {
		img.Artifact, img.Layers = true, nil
		return nil
	}
	if len(diffIDs) != len(img.Layers) {
		return &Error{Kind: "config", Digest: m.Config.Digest, Reason: fmt.Sprintf("%d diffIDs for %d layers", len(diffIDs), len(img.Layers))}
	}
	for i, at := range img.Layers {
		if err := manifest.CheckDigest(diffIDs[i]); err != nil {
			return &Error{Kind: "config", Digest: m.Config.Digest, Reason: fmt.Sprintf("diffID %d", i+1), Err: err}
		}
		l := &m.Layers[at]
		if reason := unpackable(l.MediaType); reason != "" {
			return &Error{Kind: "layer", Digest: l.Digest, Reason: reason}
		}
	}
	if last := img.Manifests[len(img.Manifests)-1]; last.Platform == nil && !on.Runs(img.Config.Platform) {
		return fmt.Errorf("config %s is for %q: %w", m.Config.Digest, platforms.FormatAll(img.Config.Platform), ErrNoPlatform)
	}
	return nil
}
