package archive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// A Reader is an opened bundle, or another OCI image layout (skopeo and podman's
// oci-archive, ctr and nerdctl export, docker save since 25, a layout packed with tar, a
// directory). Everything but the bytes of the layers has been checked. Of manifests and
// configs it holds what a runtime reads. Its methods may be called from many goroutines.
type Reader struct {
	file     string
	src      io.ReaderAt
	size     int64
	closer   io.Closer
	lim      limits
	packed   Compression
	dir      bool  // a directory
	metadata int64 // src ends after this many bytes; 0 when it has the layers, too
	budget   *budget
	docs     *documents

	blobs   []Blob
	at      map[digest.Digest]int32
	index   []byte
	id      digest.Digest
	images  []Image
	unnamed []ocispec.Descriptor

	nameless []Nameless
	omitted  []ocispec.Descriptor
	base     digest.Digest
	skipped  []Skipped
	native   bool
}

// NewReader opens a plain tarball of size bytes that is already open. The caller closes r,
// which must be safe for concurrent use, as [io.ReaderAt] promises. Errors are those of
// [Open].
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	return newReader(r, size, "", defaultLimits)
}

func newReader(src io.ReaderAt, size int64, file string, lim limits) (*Reader, error) {
	r := makeReader(file, src, newBudget(lim))
	r.size = size
	t, err := readEntries(src, size, r.budget)
	if err == nil {
		r.blobs, r.at = t.blobs, t.at
		err = r.check(t)
	}
	if err != nil {
		return nil, named(file, "open bundle", err)
	}
	return r, nil
}

// makeReader returns a Reader that has read nothing yet.
func makeReader(file string, src io.ReaderAt, b *budget) *Reader {
	return &Reader{file: file, src: src, lim: b.lim, budget: b, docs: newDocuments(b)}
}

// Close closes the file that [Open] opened and removes its temporary file.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// Compression returns the compression of the file.
func (r *Reader) Compression() Compression { return r.packed }

// MetadataOnly reports whether the layers cannot be read; see [OpenOptions].Metadata.
func (r *Reader) MetadataOnly() bool { return r.metadata > 0 }

// Size returns the size of the decompressed tarball, in bytes.
func (r *Reader) Size() int64 { return r.size }

// Index returns index.json, byte for byte. It must not be changed.
func (r *Reader) Index() []byte { return r.index }

// Digest returns the identity of the bundle: the digest of index.json.
func (r *Reader) Digest() digest.Digest { return r.id }

// Images returns the named images, in the order of index.json. A flat bundle of several
// platforms has several images of one name, which differ in Target.Platform. They must not
// be changed.
func (r *Reader) Images() []Image { return r.images }

// About returns the digest of the manifest that one of the Referrers of an image is about: its
// subject, or else what its [AnnotationTag] says. That manifest need not be in the bundle.
func (r *Reader) About(referrer ocispec.Descriptor) digest.Digest {
	if tag := referrer.Annotations[AnnotationTag]; tag != "" {
		d, _ := tagDigest(tag) // checked when the bundle was opened
		return d
	}
	if doc := r.docs.manifests[referrer.Digest]; doc != nil {
		return doc.subject
	}
	return ""
}

// Unnamed returns what index.json lists without a name that a node could request, other
// than referrers of named images. A bundle has none; a single image packed by another
// program may.
func (r *Reader) Unnamed() []ocispec.Descriptor { return r.unnamed }

// Nameless returns those of Unnamed that are images or artifacts of their own, not about
// another manifest. [Reader.AddNames] names them.
func (r *Reader) Nameless() []Nameless { return r.nameless }

// Omitted returns the layers that a differential bundle does not hold and that must be on
// the node already.
func (r *Reader) Omitted() []ocispec.Descriptor { return r.omitted }

// Base returns the identity of the bundle that a differential bundle builds on, or "".
func (r *Reader) Base() digest.Digest { return r.base }

// Skipped returns the names that were requested when the bundle was made and that could
// not be included.
func (r *Reader) Skipped() []Skipped { return r.skipped }

// Native reports whether index.json says that this module made the bundle.
func (r *Reader) Native() bool { return r.native }

// Blobs returns the blobs in the order of the file. They must not be changed.
func (r *Reader) Blobs() []Blob { return r.blobs }

// Has reports whether the blob is in the tarball.
func (r *Reader) Has(d digest.Digest) bool {
	_, ok := r.at[d]
	return ok
}

// blob returns the entry of a digest.
func (r *Reader) blob(d digest.Digest) (*Blob, error) {
	i, ok := r.at[d]
	if !ok {
		return nil, fmt.Errorf("blob %s in %s: %w", d, r.Name(), ErrNotFound)
	}
	return &r.blobs[i], nil
}

// Name returns the path that the bundle was opened by, or "bundle".
func (r *Reader) Name() string {
	if r.file == "" {
		return "bundle"
	}
	return r.file
}

// readable returns an error for a layer that was not decompressed.
func (r *Reader) readable(b *Blob) error {
	if r.metadata > 0 && b.Offset >= r.metadata {
		return fmt.Errorf("blob %s in %s: %w", b.Digest, r.Name(), ErrMetadataOnly)
	}
	return nil
}

// Open returns the bytes of a blob, or [ErrNotFound], or [ErrMetadataOnly]. Those of a
// layer have not been checked.
func (r *Reader) Open(d digest.Digest) (*io.SectionReader, error) {
	b, err := r.blob(d)
	if err == nil {
		err = r.readable(b)
	}
	if err != nil {
		return nil, err
	}
	return io.NewSectionReader(r.src, b.Offset, b.Size), nil
}

// Metadata returns a manifest, index or config, checked against its digest, or
// [ErrNotFound].
func (r *Reader) Metadata(d digest.Digest) ([]byte, error) {
	b, err := r.blob(d)
	if err == nil {
		err = r.readable(b)
	}
	if err != nil {
		return nil, err
	}
	if b.Size > r.lim.metadata {
		return nil, r.damaged(b, adviceLimit, fmt.Errorf("%d bytes of metadata, the limit is %d", b.Size, r.lim.metadata))
	}
	raw, err := r.read(extent{b.Offset, b.Size})
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(raw); got != d {
		return nil, r.damaged(b, adviceCopy, &DigestError{Want: d, Got: got, Size: b.Size})
	}
	return raw, nil
}

// read returns the content of a small entry.
func (r *Reader) read(at extent) ([]byte, error) {
	raw := make([]byte, at.size)
	if n, err := r.src.ReadAt(raw, at.off); n < len(raw) {
		return nil, r.readError(err)
	}
	return raw, nil
}

func (r *Reader) readError(err error) error { return fmt.Errorf("read %s: %w", r.Name(), err) }

func (r *Reader) damaged(b *Blob, advice string, err error) error {
	return &DamagedError{File: r.file, Entry: blobEntry(b.Digest), Offset: b.Offset, Err: err, Advice: advice}
}

// check reads the small entries and follows every name to its layers.
func (r *Reader) check(t *tarball) error {
	layout, err := r.required(t, entryLayout)
	if err != nil {
		return err
	}
	version, err := manifest.ParseVersion(layout)
	if err != nil || version != ocispec.ImageLayoutVersion {
		return r.wrong(t, entryLayout, fmt.Errorf("layout version %q, want %q", version, ocispec.ImageLayoutVersion))
	}
	if r.index, err = r.required(t, entryIndex); err != nil {
		return err
	}
	if err := r.budget.hold(int64(len(r.index))); err != nil {
		return r.wrong(t, entryIndex, err)
	}
	r.id = digest.FromBytes(r.index)
	w, err := r.docs.parseIndex(r.index)
	if err != nil {
		return r.wrong(t, entryIndex, err)
	}
	if w.SchemaVersion != 2 || (w.MediaType != "" && w.MediaType != ocispec.MediaTypeImageIndex) {
		return r.wrong(t, entryIndex, errors.New("not an OCI image index"))
	}
	docker, err := r.optional(t, entryDocker)
	if err != nil {
		return err
	}
	if docker != nil && !json.Valid(docker) {
		return r.wrong(t, entryDocker, errors.New("not JSON"))
	}
	if err := r.readAnnotations(w.Annotations, layout, docker); err != nil {
		return r.wrong(t, entryIndex, err)
	}
	if err := newGraph(r).follow(w.Manifests); err != nil {
		if errors.Is(err, ErrDamaged) {
			return err
		}
		return r.wrong(t, entryIndex, err)
	}
	return nil
}

func (r *Reader) wrong(t *tarball, entry string, err error) error {
	return &DamagedError{Entry: entry, Offset: t.files[entry].off, Err: err, Advice: advice(err)}
}

func (r *Reader) optional(t *tarball, entry string) ([]byte, error) {
	at, ok := t.files[entry]
	if !ok {
		return nil, nil
	}
	if err := r.budget.spend(at.size); err != nil {
		return nil, r.wrong(t, entry, err)
	}
	return r.read(at)
}

func (r *Reader) required(t *tarball, entry string) ([]byte, error) {
	if _, ok := t.files[entry]; !ok {
		return nil, &DamagedError{Entry: entry, Offset: r.size, Err: errors.New("missing, so this is not an OCI layout"), Advice: adviceOther}
	}
	return r.optional(t, entry)
}
