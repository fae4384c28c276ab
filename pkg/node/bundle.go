package node

import (
	"bytes"
	"context"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
)

// bundle is what a load needs of an [archive.Reader].
type bundle interface {
	Images() []archive.Image
	Digest() digest.Digest
	Has(digest.Digest) bool
	Open(digest.Digest) (*io.SectionReader, error)
}

// maxDocument bounds what is held of one index, manifest or config, in bytes.
const maxDocument = 8 << 20

// readDocument reads a small blob whole and checks it against its digest.
func readDocument(b bundle, d digest.Digest) ([]byte, error) {
	r, err := b.Open(d)
	if err != nil {
		return nil, err
	}
	if r.Size() > maxDocument {
		return nil, fmt.Errorf("document %s has %d bytes, the limit is %d: %w", d, r.Size(), maxDocument, archive.ErrDamaged)
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read document %s: %w", d, err)
	}
	if got := d.Algorithm().FromBytes(raw); got != d {
		return nil, fmt.Errorf("document %s has digest %s: %w", d, got, archive.ErrDamaged)
	}
	return raw, nil
}

// documents shows a bundle to containerd's image functions, so that the choice
// of a platform is containerd's own, and notes which documents they read.
type documents struct {
	bundle bundle
	read   []ocispec.Descriptor
}

// ReaderAt implements [content.Provider].
func (d *documents) ReaderAt(_ context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	if !d.bundle.Has(desc.Digest) {
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, errdefs.ErrNotFound)
	}
	raw, err := readDocument(d.bundle, desc.Digest)
	if err != nil {
		return nil, err
	}
	d.read = append(d.read, desc)
	return document{bytes.NewReader(raw)}, nil
}

// document is a blob in memory.
type document struct{ *bytes.Reader }

// Close implements [content.ReaderAt].
func (document) Close() error { return nil }
