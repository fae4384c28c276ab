//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// wholeness checks that all images of a node are complete. An unpacked layer may be missing
// if it was not to be kept.
type wholeness struct {
	state     *nodeState
	blob      func(digest.Digest) ([]byte, error)
	arch      string
	discarded bool // layers need not be in the content store

	sound map[digest.Digest][]byte // verified blobs; nil for layers
}

// all checks every image and returns all errors.
func (w *wholeness) all() error {
	w.sound = map[digest.Digest][]byte{}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(w.state.images)) {
		if err := w.image(w.state.images[name]); err != nil {
			errs = append(errs, fmt.Errorf("image %s is visible but incomplete: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// image checks a descriptor down to the layers of this machine's platform.
func (w *wholeness) image(d ocispec.Descriptor) error {
	raw, err := w.read(d.Digest, true)
	if err != nil {
		return err
	}
	if images.IsIndexType(d.MediaType) {
		var index ocispec.Index
		if err := json.Unmarshal(raw, &index); err != nil {
			return fmt.Errorf("index %s: %w", d.Digest, err)
		}
		for _, m := range index.Manifests {
			if m.Platform == nil || m.Platform.Architecture == w.arch {
				return w.image(m)
			}
		}
		return fmt.Errorf("index %s has nothing for %s", d.Digest, w.arch)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	if raw, err = w.read(m.Config.Digest, true); err != nil {
		return err
	}
	var config ocispec.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		return fmt.Errorf("config %s: %w", m.Config.Digest, err)
	}
	return w.layers(m.Layers, config.RootFS.DiffIDs)
}

// layers checks each layer's blob and each chain's snapshot.
func (w *wholeness) layers(layers []ocispec.Descriptor, diffIDs []digest.Digest) error {
	if len(layers) != len(diffIDs) {
		return fmt.Errorf("%d layers, but %d in the config", len(layers), len(diffIDs))
	}
	for i, l := range layers {
		if _, there := w.state.blobs[l.Digest]; there || !w.discarded {
			if _, err := w.read(l.Digest, false); err != nil {
				return err
			}
		}
		if chain := identity.ChainID(diffIDs[:i+1]); !w.state.committed[chain.String()] {
			return fmt.Errorf("layer %s is not unpacked", l.Digest)
		}
	}
	return nil
}

// read returns a blob after comparing it with its digest, once; it keeps nothing of layers.
func (w *wholeness) read(d digest.Digest, keep bool) ([]byte, error) {
	if raw, ok := w.sound[d]; ok && (raw != nil || !keep) {
		return raw, nil
	}
	raw, err := w.blob(d)
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", d, err)
	}
	if got := digest.FromBytes(raw); got != d {
		return nil, fmt.Errorf("blob %s has the digest %s", d, got)
	}
	w.sound[d] = nil
	if keep {
		w.sound[d] = raw
	}
	return raw, nil
}
