package archive

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An Image is a name and what it stands for in a bundle.
type Image struct {
	// Name is "repo:tag" or "repo@digest", normalised; see [Names].
	Name string `json:"name"`

	// Target is what the name means: an index or a manifest. Only its media type,
	// digest and size count; a plan takes a missing size from the document.
	Target ocispec.Descriptor `json:"target"`

	// Present lists the indexes and manifests of the image that are in the bundle,
	// Target first, parents before children, with Platform where it is known. For a
	// plan it is the choice of platforms, in any order; Target may be left out.
	Present []ocispec.Descriptor `json:"present"`

	// Referrers are manifests in the bundle about one of Present (signatures, attestations,
	// SBOMs), by digest and tag. No name leads to them. What a manifest is about its subject
	// says, or else its [AnnotationTag].
	Referrers []ocispec.Descriptor `json:"referrers,omitempty"`
}

// A Blob is one content-addressed entry of a bundle.
type Blob struct {
	ocispec.Descriptor       // media type and URLs as at its first use
	Offset             int64 // of its first byte in the tarball
	Document           bool  // it is a manifest or an index
}

// Skipped is a name that was requested and that could not be included in the bundle.
type Skipped struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Documents returns raw manifests and indexes by digest; an error with [ErrNotFound] in it
// when it has none. [*Reader] and the File of package writer implement it.
type Documents interface {
	Document(d digest.Digest) ([]byte, error)
}

// PlanOptions changes what a plan puts into a bundle. The zero value puts in everything.
type PlanOptions struct {
	// Flat lists the manifests of an index in index.json directly and leaves the index
	// out, for readers that cannot bear a sparse index (ctr --all-platforms, kind, oras).
	// Names with the digest of an index cannot be flat.
	Flat bool

	// Omit tells which layers the receiver already has; they are named in index.json and
	// not stored. It is asked once for each layer. Manifests and configs always travel.
	Omit func(digest.Digest) bool

	// Base is the identity of the bundle whose layers are left out, if there is one.
	Base digest.Digest

	// Skipped is recorded in index.json, sorted by name.
	Skipped []Skipped
}

// A Plan fixes each byte of a bundle but those of the blobs. It does not change once
// made and may be used from many goroutines. It holds no raw documents: about 250
// bytes a blob and 1.5 KiB an image.
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

// NewPlan plans the bundle of images. It is pure: the same images at the same digests
// give the same plan, whatever their order and however often one is repeated. docs is
// asked for the documents of Present, one at a time, and none is kept.
//
// An error names the image it is about: a document docs does not have ([ErrNotFound]),
// a wrong digest or size, a name that is not normalised or that two images claim, an
// index without any manifest present, or an image over the limits.
func NewPlan(images []Image, docs Documents, opts PlanOptions) (*Plan, error) {
	images, err := merge(images)
	if err != nil {
		return nil, err
	}
	a := newArranger(docs, opts)
	for i := range images {
		if err := a.add(&images[i]); err != nil {
			return nil, fmt.Errorf("plan %s: %w", images[i].Name, err)
		}
	}
	return a.plan()
}

// merge sorts images by name and makes one of those that agree.
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
			continue
		}
		out = append(out, img)
	}
	return out, nil
}

// Size gives the bytes of the whole tarball.
func (p *Plan) Size() int64 { return p.size }

// Digest gives the identity of the bundle: the digest of its index.json.
func (p *Plan) Digest() digest.Digest { return p.id }

// Index gives index.json. It must not be changed.
func (p *Plan) Index() []byte { return p.index }

// Images gives the images by name, with Present in the order of the bundle. It must
// not be changed.
func (p *Plan) Images() []Image { return p.images }

// Blobs gives the blobs in the order of the file. It must not be changed.
func (p *Plan) Blobs() []Blob { return p.blobs }

// Omitted gives the layers that [PlanOptions].Omit left out, in order of first use.
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

// fileEntry is an entry whose content the plan itself knows.
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

// unsealed stands in index.json where the digest of the contents goes.
const unsealed = "sha256:0000000000000000000000000000000000000000000000000000000000000000"

// contents lists every entry for the annotation of that name. index is index.json with
// [unsealed] in that place; docker may be nil.
func contents(layout, index, docker []byte, blobs []Blob) digest.Digest {
	d := digest.SHA256.Digester()
	line := func(name string, dg digest.Digest, size int64) {
		fmt.Fprintf(d.Hash(), "%s %s %d\n", name, dg, size)
	}
	for _, e := range []fileEntry{{entryLayout, layout}, {entryIndex, index}, {entryDocker, docker}} {
		if e.data != nil {
			line(e.name, digest.FromBytes(e.data), int64(len(e.data)))
		}
	}
	for i := range blobs {
		line(blobEntry(blobs[i].Digest), blobs[i].Digest, blobs[i].Size)
	}
	return d.Digest()
}

// marshalSkipped returns the value of [AnnotationSkipped], sorted, or "" for no names.
func marshalSkipped(list []Skipped) (string, error) {
	if len(list) == 0 {
		return "", nil
	}
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(a, b Skipped) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Reason, b.Reason))
	})
	raw, err := json.Marshal(slices.Compact(sorted))
	return string(raw), err
}
