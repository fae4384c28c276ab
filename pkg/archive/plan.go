package archive

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// MetadataReader returns raw manifests and indexes by digest; an error with [ErrNotFound] in it
// when it has none. [*Reader] and the File of package writer implement it.
type MetadataReader interface {
	Metadata(d digest.Digest) ([]byte, error)
}

// PlanOptions are the options of [NewPlan]. The zero value includes everything.
type PlanOptions struct {
	// Flat lists the manifests of an index in index.json instead of the index, for readers
	// that do not accept a sparse index (ctr --all-platforms, kind, oras). A name with the
	// digest of an index is an error then.
	Flat bool

	// Omit reports whether the receiver has a layer already; it is then named in index.json
	// and not stored. NewPlan calls it once for each layer. Manifests and configs are always
	// stored.
	Omit func(digest.Digest) bool

	// Base is the identity of the bundle whose layers are omitted, if there is one.
	Base digest.Digest

	// Rank orders the images: those of a lower rank come first in the file, and those of equal
	// rank by name. nil ranks all of them equal.
	Rank func(name string) int

	// Skipped is recorded in index.json, sorted by name.
	Skipped []Skipped
}

// A Plan fixes each byte of a bundle except those of the blobs. It is immutable and may be
// used from many goroutines. It holds no manifests: it takes about 250 bytes for a blob and
// 1.5 KiB for an image.
type Plan struct {
	images  []Image
	blobs   []Blob
	at      map[digest.Digest]int32
	omitted []ocispec.Descriptor
	index   []byte // index.json
	docker  []byte // manifest.json, nil when there is none
	id      digest.Digest
	first   int64 // bytes before the header of the first blob
	size    int64
}

// NewPlan plans the bundle of images. It is pure: the same images at the same digests make
// the same plan, whatever their order and however often one is repeated. It reads the
// manifests of Present from docs, one at a time, and keeps none.
//
// An error names the image it is about: a manifest that docs does not have ([ErrNotFound]),
// a wrong digest or size, a name that is not normalised or that two images have, an index
// without any manifest present, or an image over the limits.
func NewPlan(images []Image, docs MetadataReader, opts PlanOptions) (*Plan, error) {
	images, err := merge(images)
	if err != nil {
		return nil, err
	}
	if opts.Rank != nil {
		slices.SortStableFunc(images, func(a, b Image) int { return cmp.Compare(opts.Rank(a.Name), opts.Rank(b.Name)) })
	}
	p := newPlanner(docs, opts)
	for i := range images {
		if err := p.add(&images[i]); err != nil {
			return nil, fmt.Errorf("plan %s: %w", images[i].Name, err)
		}
	}
	return p.plan()
}

// merge sorts images by name and merges those of the same name and target.
func merge(images []Image) ([]Image, error) {
	sorted := slices.Clone(images)
	slices.SortStableFunc(sorted, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	out := sorted[:0]
	for _, img := range sorted {
		if _, err := checkName(img.Name); err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		if n := len(out); n > 0 && out[n-1].Name == img.Name {
			last := &out[n-1]
			if last.Target.Digest != img.Target.Digest {
				return nil, fmt.Errorf("plan %s: two targets, %s and %s", img.Name, last.Target.Digest, img.Target.Digest)
			}
			last.Present = slices.Concat(last.Present, img.Present)
			last.Referrers = slices.Concat(last.Referrers, img.Referrers)
			last.Artifact = max(last.Artifact, img.Artifact)
			continue
		}
		out = append(out, img)
	}
	return out, nil
}

// Size returns the size of the tarball, in bytes.
func (p *Plan) Size() int64 { return p.size }

// Digest returns the identity of the bundle: the digest of its index.json.
func (p *Plan) Digest() digest.Digest { return p.id }

// Index returns index.json. It must not be changed.
func (p *Plan) Index() []byte { return p.index }

// Images returns the images in the order of the file, with Present in the order of the bundle. They must
// not be changed.
func (p *Plan) Images() []Image { return p.images }

// Blobs returns the blobs in the order of the file. They must not be changed.
func (p *Plan) Blobs() []Blob { return p.blobs }

// Omitted returns the layers that [PlanOptions].Omit selected, in order of first use.
func (p *Plan) Omitted() []ocispec.Descriptor { return p.omitted }

// Find returns the position of a blob in [Plan.Blobs], or [ErrNotFound].
func (p *Plan) Find(d digest.Digest) (int, error) {
	i, ok := p.at[d]
	if !ok {
		return 0, fmt.Errorf("blob %s of the plan: %w", d, ErrNotFound)
	}
	return int(i), nil
}

// layout computes every offset and the size of the file.
func (p *Plan) layout() error {
	off := int64(0)
	add := func(name string, size int64) (data int64, err error) {
		h, err := headerSize(name, size)
		data = off + h
		off = data + padded(size)
		return data, err
	}
	for _, e := range p.firstEntries() {
		if _, err := add(e.name, int64(len(e.data))); err != nil {
			return err
		}
	}
	p.first = off
	for i := range p.blobs {
		b := &p.blobs[i]
		data, err := add(blobEntry(b.Digest), b.Size)
		if err != nil {
			return err
		}
		if off < data || off > 1<<60 {
			return errors.New("plan: more than 2^60 bytes")
		}
		b.Offset = data
	}
	p.size = off + endBlocks
	return nil
}

// fileEntry is an entry whose content the plan has.
type fileEntry struct {
	name string
	data []byte
}

// firstEntries lists the entries before the blobs.
func (p *Plan) firstEntries() []fileEntry {
	entries := []fileEntry{{entryLayout, []byte(layoutDoc)}, {entryIndex, p.index}}
	if p.docker != nil {
		entries = append(entries, fileEntry{entryDocker, p.docker})
	}
	return append(entries, fileEntry{name: blobsDir}, fileEntry{name: blobDir})
}

// Preamble returns the file up to the header of the first blob. What follows are a
// [Plan.Gap] and a blob in turn, and a last gap.
func (p *Plan) Preamble() ([]byte, error) {
	b := bytes.NewBuffer(make([]byte, 0, p.first))
	for _, e := range p.firstEntries() {
		h, err := header(e.name, int64(len(e.data)))
		if err != nil {
			return nil, err
		}
		b.Write(h)
		b.Write(e.data)
		b.Write(make([]byte, padded(int64(len(e.data)))-int64(len(e.data))))
	}
	return b.Bytes(), nil
}

// Gap returns the bytes between the end of blob i-1 (of the preamble, when i is 0) and the
// first byte of blob i: padding and a header. For i == len(p.Blobs()) it is the end of the
// file. off is where the gap begins in the file.
func (p *Plan) Gap(i int) (gap []byte, off int64, err error) {
	off = p.first
	pad := int64(0)
	if i > 0 {
		last := &p.blobs[i-1]
		off = last.Offset + last.Size
		pad = padded(last.Size) - last.Size
	}
	if i == len(p.blobs) {
		return make([]byte, pad+endBlocks), off, nil
	}
	h, err := header(blobEntry(p.blobs[i].Digest), p.blobs[i].Size)
	return append(make([]byte, pad, pad+int64(len(h))), h...), off, err
}
