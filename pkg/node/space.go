package node

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/zstd"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// guessRatio is how much larger than its blob a layer is taken to be when the
// blob does not tell; gzip layers of real images lie between 2 and 3.
const guessRatio = 3

// preflight compares what the plan adds with what the node has free, before
// anything is written. It knows nothing of a node whose files are out of sight.
func (l *loader) preflight(p *plan) error {
	if !l.local {
		return nil
	}
	type volume struct {
		path       string
		need, free int64
	}
	var volumes []*volume
	byDevice := map[uint64]*volume{}
	add := func(path string, need int64) error {
		device, free, err := space(path)
		if err != nil {
			return fmt.Errorf("check the space of %s: %w", path, err)
		}
		v := byDevice[device]
		if v == nil {
			v = &volume{path: path, free: free}
			byDevice[device] = v
			volumes = append(volumes, v)
		}
		v.need += need
		return nil
	}
	var blobs, files int64
	for _, w := range l.blobWork(p) {
		if !w.there {
			blobs += w.desc.Size
		}
	}
	for _, u := range p.unpacks {
		files += l.unpackedSize(u.Descriptor)
	}
	if err := add(l.node.snapshotter.root, files); err != nil {
		return err
	}
	if err := add(l.node.contentRoot, blobs); err != nil {
		return err
	}
	for _, v := range volumes {
		if v.need > v.free {
			return &SpaceError{Path: v.path, Need: v.need, Free: v.free}
		}
	}
	return nil
}

// unpackedSize gives the size of a layer's tar in bytes: from the trailer of a
// gzip file (RFC 1952, ISIZE), from the header of a zstd frame (RFC 8878,
// Frame_Content_Size), the size itself of a plain tar, else a guess.
func (l *loader) unpackedSize(desc ocispec.Descriptor) int64 {
	guess := desc.Size * guessRatio
	r, err := l.bundle.Open(desc.Digest)
	if err != nil {
		return guess
	}
	var head [zstd.HeaderMaxSize]byte
	n, err := r.ReadAt(head[:], 0)
	if n < 4 || err != nil && err != io.EOF {
		return guess
	}
	switch {
	case string(head[:3]) == string(gzipMagic):
		return gzipSize(r, guess)
	case string(head[:4]) == string(zstdMagic):
		var h zstd.Header
		if h.Decode(head[:n]) == nil && h.HasFCS && h.FrameContentSize < math.MaxInt64 {
			return max(int64(h.FrameContentSize), guess/guessRatio)
		}
		return guess
	case skippable(head[:4]):
		return guess
	}
	return desc.Size
}

// gzipSize reads the trailer. It counts modulo 4 GiB and only the last member
// of a file made of several: what is less than the blob itself is not believed.
func gzipSize(r *io.SectionReader, guess int64) int64 {
	var tail [4]byte
	if _, err := r.ReadAt(tail[:], r.Size()-4); err != nil {
		return guess
	}
	size := int64(binary.LittleEndian.Uint32(tail[:]))
	if size < r.Size() {
		return guess
	}
	return size
}

// room is what a layer may unpack to: the space that is free now.
func (l *loader) room() int64 {
	_, free, err := space(l.node.snapshotter.root)
	if err != nil {
		return math.MaxInt64
	}
	return free
}
