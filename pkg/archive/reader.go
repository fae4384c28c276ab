package archive

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// A Reader is an opened bundle, or another tarball that is an OCI image layout (skopeo
// and podman's oci-archive, ctr and nerdctl export, docker save since 25, a layout packed
// with tar, the layout's folder itself). Everything but the bytes of the layers has been
// checked. It holds no documents in memory. Methods may be used from many goroutines.
type Reader struct {
	file   string
	src    io.ReaderAt
	size   int64
	closer io.Closer
	lim    limits
	packed Compression
	folder bool
	head   int64 // after this many bytes src has nothing; 0 when it has all

	blobs   []Blob
	at      map[digest.Digest]int32
	index   []byte
	id      digest.Digest
	images  []Image
	unnamed []ocispec.Descriptor
	omitted []ocispec.Descriptor
	base    digest.Digest
	skipped []Skipped
	ours    bool
}

// NewReader is [Open] for the size bytes of a plain tarball that are already open. They
// stay the caller's to close. r must bear being read from many goroutines, as
// [io.ReaderAt] promises.
func NewReader(r io.ReaderAt, size int64) (*Reader, error) {
	return newReader(r, size, "", defaultLimits)
}

func newReader(src io.ReaderAt, size int64, file string, lim limits) (*Reader, error) {
	r := &Reader{file: file, src: src, size: size, lim: lim}
	t, err := readEntries(src, size, lim)
	if err == nil {
		r.blobs, r.at = t.blobs, t.at
		err = r.check(t)
	}
	if err != nil {
		if d, ok := errors.AsType[*DamagedError](err); ok {
			d.File = file
			return nil, err
		}
		return nil, fmt.Errorf("open bundle %s: %w", file, err)
	}
	return r, nil
}

// Close closes the file that [Open] opened, and frees what it was unpacked to.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// Compression tells how the file is packed.
func (r *Reader) Compression() Compression { return r.packed }

// HeadOnly tells whether the layers cannot be read; see [OpenHead].
func (r *Reader) HeadOnly() bool { return r.head > 0 }

// Size gives the bytes of the tarball, unpacked.
func (r *Reader) Size() int64 { return r.size }

// Index gives index.json, byte for byte. It must not be changed.
func (r *Reader) Index() []byte { return r.index }

// Digest gives the identity of the bundle: the digest of index.json.
func (r *Reader) Digest() digest.Digest { return r.id }

// Images gives the named images, in the order of index.json. A flat bundle of several
// platforms has several images of one name, and Target.Platform tells them apart. It
// must not be changed.
func (r *Reader) Images() []Image { return r.images }

// Unnamed gives what index.json lists without a name a node could ask for, other than
// referrers of named images. A bundle has none; a single image packed by another
// program may.
func (r *Reader) Unnamed() []ocispec.Descriptor { return r.unnamed }

// Omitted gives the layers a differential bundle leaves out, and which must be on the
// node already.
func (r *Reader) Omitted() []ocispec.Descriptor { return r.omitted }

// Base gives the identity of the bundle a differential bundle was made against, or "".
func (r *Reader) Base() digest.Digest { return r.base }

// Skipped returns the names that were requested when the bundle was made and that could
// not be included.
func (r *Reader) Skipped() []Skipped { return r.skipped }

// Ours tells whether the file was made by this package, as far as index.json says.
func (r *Reader) Ours() bool { return r.ours }

// Blobs gives the blobs in the order of the file. It must not be changed.
func (r *Reader) Blobs() []Blob { return r.blobs }

// Has tells whether the blob is in the tarball.
func (r *Reader) Has(d digest.Digest) bool {
	_, ok := r.at[d]
	return ok
}

// blob gives the entry of a digest.
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

// readable refuses a blob that was not unpacked.
func (r *Reader) readable(b *Blob) error {
	if r.head > 0 && b.Offset >= r.head {
		return fmt.Errorf("blob %s in %s: %w", b.Digest, r.Name(), ErrHeadOnly)
	}
	return nil
}

// Open gives the bytes of a blob, or [ErrNotFound], or [ErrHeadOnly]. A layer's are not
// checked.
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

// Document gives a whole manifest, index or config, checked against its digest, or
// [ErrNotFound].
func (r *Reader) Document(d digest.Digest) ([]byte, error) {
	b, err := r.blob(d)
	if err == nil {
		err = r.readable(b)
	}
	if err != nil {
		return nil, err
	}
	if b.Size > r.lim.document {
		return nil, r.damaged(b, adviceLimit, fmt.Errorf("%d bytes for a document, the limit is %d", b.Size, r.lim.document))
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

// read gives the content of an entry, which is small.
func (r *Reader) read(at extent) ([]byte, error) {
	raw := make([]byte, at.size)
	if n, err := r.src.ReadAt(raw, at.off); n < len(raw) {
		return nil, fmt.Errorf("read %s: %w", r.Name(), err)
	}
	return raw, nil
}

func (r *Reader) damaged(b *Blob, advice string, err error) error {
	return &DamagedError{File: r.file, Entry: blobEntry(b.Digest), Offset: b.Offset, Err: err, Advice: advice}
}

// wireIndex is index.json.
type wireIndex struct {
	SchemaVersion int           `json:"schemaVersion"`
	MediaType     string        `json:"mediaType"`
	Manifests     manifest.List `json:"manifests"`
	Annotations   bundleMarks   `json:"annotations"`
}

// bundleMarks are the annotations of index.json that are ours.
type bundleMarks struct {
	Contents digest.Digest `json:"dev.stowage.bundle.contents"`
	Base     digest.Digest `json:"dev.stowage.bundle.base"`
	Omitted  string        `json:"dev.stowage.bundle.omitted"`
	Skipped  string        `json:"dev.stowage.bundle.skipped"`
	LeftOut  string        `json:"dev.stowage.bundle.left-out"` // Skipped, in bundles made before it was renamed
}

// check reads what is small and follows every name to its layers.
func (r *Reader) check(t *tarball) error {
	layout, err := r.required(t, entryLayout)
	if err != nil {
		return err
	}
	var version ocispec.ImageLayout
	if err := json.Unmarshal(layout, &version); err != nil || version.Version != ocispec.ImageLayoutVersion {
		return r.wrong(t, entryLayout, fmt.Errorf("layout version %q, want %q", version.Version, ocispec.ImageLayoutVersion))
	}
	if r.index, err = r.required(t, entryIndex); err != nil {
		return err
	}
	r.id = digest.FromBytes(r.index)
	var w wireIndex
	if err := json.Unmarshal(r.index, &w); err != nil {
		return r.wrong(t, entryIndex, err)
	}
	if w.SchemaVersion != 2 || (w.MediaType != "" && w.MediaType != ocispec.MediaTypeImageIndex) {
		return r.wrong(t, entryIndex, errors.New("not an OCI image index"))
	}
	if n := len(w.Manifests); n > r.lim.names {
		return r.wrong(t, entryIndex, fmt.Errorf("%d names, the limit is %d", n, r.lim.names))
	}
	docker, err := r.optional(t, entryDocker)
	if err != nil {
		return err
	}
	if docker != nil && !json.Valid(docker) {
		return r.wrong(t, entryDocker, errors.New("not JSON"))
	}
	if err := r.marks(&w.Annotations, layout, docker); err != nil {
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
	return &DamagedError{Entry: entry, Offset: t.files[entry].off, Err: err, Advice: adviceCopy}
}

func (r *Reader) optional(t *tarball, entry string) ([]byte, error) {
	at, ok := t.files[entry]
	if !ok {
		return nil, nil
	}
	return r.read(at)
}

func (r *Reader) required(t *tarball, entry string) ([]byte, error) {
	if _, ok := t.files[entry]; !ok {
		return nil, &DamagedError{Entry: entry, Offset: r.size, Err: errors.New("not there, so this is no OCI layout"), Advice: adviceForeign}
	}
	return r.optional(t, entry)
}

var errContents = errors.New("entries were lost, added, altered or moved since the bundle was made")

// marks takes up our annotations.
func (r *Reader) marks(m *bundleMarks, layout, docker []byte) error {
	if m.Contents != "" {
		r.ours = true
		if bytes.Count(r.index, []byte(m.Contents)) != 1 {
			return errors.New("the digest of the contents is not in its place")
		}
		index := bytes.Replace(r.index, []byte(m.Contents), []byte(unsealed), 1)
		if !r.folder && contents(layout, index, docker, r.blobs) != m.Contents {
			return errContents
		}
	}
	if r.base = m.Base; r.base != "" {
		if err := manifest.CheckDigest(r.base); err != nil {
			return fmt.Errorf("base: %w", err)
		}
	}
	if m.Skipped != "" && m.LeftOut != "" {
		return fmt.Errorf("both %s and %s are set", AnnotationSkipped, annotationLeftOut)
	}
	if list := cmp.Or(m.Skipped, m.LeftOut); list != "" {
		if err := json.Unmarshal([]byte(list), &r.skipped); err != nil {
			return fmt.Errorf("skipped names: %w", err)
		}
	}
	return r.parseOmitted(m.Omitted)
}

// parseOmitted reads "sha256:… size" lines.
func (r *Reader) parseOmitted(text string) error {
	if text == "" {
		return nil
	}
	seen := map[digest.Digest]bool{}
	for line := range strings.SplitSeq(text, "\n") {
		name, num, _ := strings.Cut(line, " ")
		d := ocispec.Descriptor{Digest: digest.Digest(name)}
		size, err := strconv.ParseInt(num, 10, 64)
		if err := errors.Join(err, manifest.CheckDigest(d.Digest)); err != nil {
			return fmt.Errorf("omitted blob %q: %w", line, err)
		}
		if d.Size = size; size < 0 || r.Has(d.Digest) || seen[d.Digest] {
			return fmt.Errorf("omitted blob %q makes no sense", line)
		}
		seen[d.Digest] = true
		r.omitted = append(r.omitted, d)
	}
	return nil
}
