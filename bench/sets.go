//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// Keys of the sets of images that load is measured with.
const (
	madeUp = "calico"
	real   = "real"
	tiny   = "tiny"
)

// imageSet is a set of images in one tarball.
type imageSet struct {
	Key, Title string
	Images     int
	Size       int64  // of the tarball
	Origin     string // what the images were made from
	add        func(*bench, context.Context) (added, error)
	file       string // the tarball
}

// added is what a set added to the registry.
type added struct {
	refs   []string
	origin string // what the images were made from
}

// sets is the order of the sets.
var sets = []imageSet{
	{Key: madeUp, Title: "made-up images", add: (*bench).addCalico},
	{Key: real, Title: "real images", add: (*bench).addReal},
	{Key: tiny, Title: "tiny images", add: (*bench).addTiny},
}

// makeSets makes the wanted sets: it adds the images to the registry and bundles each set
// to a tarball on the tmpfs, without measuring.
func (b *bench) makeSets(ctx context.Context) ([]imageSet, error) {
	var made []imageSet
	for _, s := range sets {
		if !chosen(b.sets, s.Key) {
			continue
		}
		b.logf("making the set %s", s.Key)
		a, err := s.add(b, ctx)
		if err != nil {
			return nil, fmt.Errorf("set %s: %w", s.Key, err)
		}
		s.Images, s.Origin = len(a.refs), a.origin
		if s.file, err = b.tarball(ctx, s.Key, a.refs); err != nil {
			return nil, fmt.Errorf("set %s: %w", s.Key, err)
		}
		info, err := os.Stat(s.file)
		if err != nil {
			return nil, err
		}
		s.Size = info.Size()
		made = append(made, s)
	}
	return made, nil
}

// tarball bundles images to a file on the tmpfs.
func (b *bench) tarball(ctx context.Context, name string, refs []string) (string, error) {
	program, err := ours(b.bin, "bundle")
	if err != nil {
		return "", err
	}
	env, err := b.home(b.memDir)
	if err != nil {
		return "", err
	}
	out := filepath.Join(b.memDir, name+".tar")
	_, err = b.measure(ctx, env, append([]string{program, "-o", out}, refs...))
	return out, err
}

// addCalico adds the images with the size and shape of Calico.
func (b *bench) addCalico(context.Context) (added, error) {
	if err := b.makeCalico(); err != nil {
		return added{}, err
	}
	return added{b.refs(), "text that compresses like the files of published images, in the shape of Calico's images"}, nil
}

// tinyImages is the number of images of the set of tiny ones.
const tinyImages = 200

// addTiny adds many images of one small file each. No two images share a layer, unlike
// images of one distribution.
func (b *bench) addTiny(context.Context) (added, error) {
	count := tinyImages
	if b.quick {
		count = 5
	}
	a := added{origin: "a file of 10 KB each, no layer shared"}
	for i := range count {
		repo := fmt.Sprintf("many/image-%03d", i)
		layer := &registrytest.Layer{Seed: uint64(i), Files: []registrytest.File{{Name: "file", Size: 10 << 10, Fill: registrytest.FillText}}}
		img := registrytest.Image{Platform: platform, Layers: []*registrytest.Layer{layer}, Config: ocispec.ImageConfig{Cmd: []string{"/file"}}}
		if _, err := b.registry.AddImage(repo, "v1", img); err != nil {
			return added{}, err
		}
		a.refs = append(a.refs, b.registry.Ref(repo, "v1"))
	}
	return a, nil
}
