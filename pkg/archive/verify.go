package archive

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"stowage/internal/iox"
	"stowage/internal/manifest"
)

// VerifyContents hashes every blob and returns an error for each damaged one, in the order of the
// file, each wrapping [ErrDamaged]. Of each layer of an image it also compares the contents
// with the config: a layer that belongs to another image is damage. [Reader.Uncompared]
// counts those for which that is impossible.
//
// It reads jobs blobs at once; 0 means one for each processor. onBytes, if not nil, is
// called with numbers of bytes that were read, from several goroutines. An error of the
// disk or of ctx ends it at once, and so does [ErrMetadataOnly].
func (r *Reader) VerifyContents(ctx context.Context, jobs int, onBytes func(int64)) error {
	return r.verify(ctx, jobs, onBytes, r.contents())
}

// Verify is VerifyContents without a look into the layers, which takes a fraction of the time.
func (r *Reader) Verify(ctx context.Context, jobs int, onBytes func(int64)) error {
	return r.verify(ctx, jobs, onBytes, nil)
}

func (r *Reader) verify(ctx context.Context, jobs int, onBytes func(int64), want map[digest.Digest][]content) error {
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	if onBytes == nil {
		onBytes = func(int64) {}
	}
	if r.MetadataOnly() {
		return fmt.Errorf("verify %s: %w", r.Name(), ErrMetadataOnly)
	}
	wrong := make([]error, len(r.blobs))
	g, inner := errgroup.WithContext(ctx)
	g.SetLimit(jobs)
	for i := range r.blobs {
		if inner.Err() != nil {
			break
		}
		g.Go(func() error {
			b := &r.blobs[i]
			err := r.verifyBlob(inner, b, onBytes, want[b.Digest])
			if errors.Is(err, ErrDamaged) {
				wrong[i] = err
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return errors.Join(wrong...)
}

// verifyBlob hashes a blob, and its contents if want is not empty.
func (r *Reader) verifyBlob(ctx context.Context, b *Blob, onBytes func(int64), want []content) error {
	in := &blobReader{ctx: ctx, r: r, b: b, hash: sha256.New(), onBytes: onBytes}
	var found digest.Digest
	var decodeErr error
	if len(want) > 0 {
		found, decodeErr = in.decode()
	}
	buf := iox.Buffer()
	defer iox.Release(buf)
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{in}, *buf); err != nil {
		return err
	}
	got := digest.NewDigest(digest.SHA256, in.hash)
	switch {
	case got != b.Digest:
		return r.damaged(b, adviceCopy, &DigestError{Want: b.Digest, Got: got, Size: b.Size})
	case decodeErr != nil:
		return r.damaged(b, adviceCopy, fmt.Errorf("layer of %s: %w", r.namesOf(want[0].manifest), decodeErr))
	case found == "":
		found = got // not compressed
	}
	for _, w := range want {
		if keyOf(found) != w.diffID {
			return r.damaged(b, adviceOther, fmt.Errorf("the layer does not belong to the config of %s, manifest %s: its contents are %s, the config says %s",
				r.namesOf(w.manifest), w.manifest, found, digest.NewDigestFromBytes(digest.SHA256, w.diffID[:])))
		}
	}
	return nil
}

// blobReader reads a blob and hashes what was read. Its error is final.
type blobReader struct {
	ctx     context.Context
	r       *Reader
	b       *Blob
	off     int64
	hash    hash.Hash
	onBytes func(int64)
	err     error
}

// Read implements [io.Reader].
func (in *blobReader) Read(p []byte) (int, error) {
	if in.err == nil {
		in.err = in.ctx.Err()
	}
	if in.err != nil {
		return 0, in.err
	}
	if in.off == in.b.Size {
		return 0, io.EOF
	}
	p = p[:min(in.b.Size-in.off, int64(len(p)))]
	n, err := in.r.src.ReadAt(p, in.b.Offset+in.off)
	in.hash.Write(p[:n])
	in.off += int64(n)
	in.onBytes(int64(n))
	switch {
	case n == len(p):
		err = nil
	case errors.Is(err, io.EOF):
		err = in.r.damaged(in.b, adviceCopy, fmt.Errorf("cut after %d of %d bytes: %w", in.off, in.b.Size, io.ErrUnexpectedEOF))
	default:
		err = in.r.readError(err)
	}
	in.err = err
	return n, err
}

// decode returns the digest of the decompressed blob, or "" if it is not compressed. Its
// compression is that of the first bytes, as for containerd.
func (in *blobReader) decode() (digest.Digest, error) {
	c, err := sniff(io.NewSectionReader(in.r.src, in.b.Offset, in.b.Size))
	if err != nil || c == Plain {
		return "", err
	}
	dec, err := c.layerDecoder(bufio.NewReaderSize(in, iox.BufferSize))
	if err != nil {
		return "", err
	}
	defer dec.Close()
	sum := sha256.New()
	buf := iox.Buffer()
	defer iox.Release(buf)
	if _, err := io.CopyBuffer(sum, struct{ io.Reader }{dec}, *buf); err != nil {
		return "", err
	}
	return digest.NewDigest(digest.SHA256, sum), nil
}

// content is what a layer must decompress to.
type content struct {
	diffID   digestKey
	manifest digest.Digest // of the first image that says so
}

// contents returns what the configs say about the layers that are in the bundle.
func (r *Reader) contents() map[digest.Digest][]content {
	all := map[digest.Digest][]content{}
	r.layers(func(m digest.Digest, layer *child, diffID *digestKey) {
		if diffID == nil || !r.Has(layer.digest) {
			return
		}
		known := all[layer.digest]
		if !slices.ContainsFunc(known, func(c content) bool { return c.diffID == *diffID }) {
			all[layer.digest] = append(known, content{*diffID, m})
		}
	})
	return all
}

// Uncompared returns how many layers [Reader.VerifyContents] cannot compare with a config: those
// that are not in the bundle, and those of artifacts and of images that no runtime can use.
func (r *Reader) Uncompared() int {
	compared, all := map[digest.Digest]bool{}, map[digest.Digest]bool{}
	r.layers(func(_ digest.Digest, layer *child, diffID *digestKey) {
		all[layer.digest] = true
		if diffID != nil && r.Has(layer.digest) {
			compared[layer.digest] = true
		}
	})
	return len(all) - len(compared)
}

// layers calls visit for the layers of all manifests, with the diffID in the config, or nil.
func (r *Reader) layers(visit func(m digest.Digest, layer *child, diffID *digestKey)) {
	for _, m := range slices.Sorted(maps.Keys(r.docs.manifests)) {
		doc := r.docs.manifests[m]
		if doc.index {
			continue
		}
		var diffIDs []digestKey
		if c := r.docs.configs[doc.config.digest]; c != nil && c.err == nil {
			diffIDs = c.diffIDs
		}
		n := 0
		for i := range doc.list {
			if manifest.IsLayer(doc.list[i].mediaType) {
				n++
			}
		}
		at := 0
		for i := range doc.list {
			l := &doc.list[i]
			if n != len(diffIDs) || !manifest.IsLayer(l.mediaType) {
				visit(m, l, nil)
				continue
			}
			visit(m, l, &diffIDs[at])
			at++
		}
	}
}

// namesOf returns the names of the images to which a manifest belongs, for a message.
func (r *Reader) namesOf(m digest.Digest) string {
	var names []string
	for i := range r.images {
		if slices.ContainsFunc(r.images[i].Present, func(d ocispec.Descriptor) bool { return d.Digest == m }) {
			if len(names) == maxNamed {
				return strings.Join(names, ", ") + ", …"
			}
			names = append(names, r.images[i].Name)
		}
	}
	if len(names) == 0 {
		return "an image without a name"
	}
	return strings.Join(names, ", ")
}

// maxNamed bounds the names in a message.
const maxNamed = 3
