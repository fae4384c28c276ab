package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// documents looks for manifests in the draft and in older bundles, and keeps new ones in
// the draft. Without a draft they are held in memory.
type documents struct {
	draft  *archive.Draft
	older  *older
	memory sync.Map // digest → []byte
}

func newDocuments(draft *archive.Draft, older *older) *documents {
	return &documents{draft: draft, older: older}
}

func (d *documents) Document(dg digest.Digest) ([]byte, error) {
	if d.draft != nil {
		if raw, err := d.draft.Document(dg); err == nil {
			return raw, nil
		}
	} else if raw, ok := d.memory.Load(dg); ok {
		return raw.([]byte), nil
	}
	return d.older.document(dg)
}

func (d *documents) AddDocument(raw []byte) (digest.Digest, error) {
	if d.draft != nil {
		return d.draft.AddDocument(raw)
	}
	dg := digest.FromBytes(raw)
	d.memory.Store(dg, raw)
	return dg, nil
}

// older are bundles whose documents and blobs are used again: the one that will be
// replaced, and those of --reuse and --since.
type older struct {
	previous *olderBundle // at the output; nil when there is none
	bundles  []*olderBundle
}

// olderBundle is one of them. Of a compressed one only the documents are unpacked until a
// layer of it is wanted.
type olderBundle struct {
	path string
	*archive.Reader
}

// openOlder opens them. What is at the output need not be a bundle: it will be replaced.
// The others must be.
func openOlder(ctx context.Context, out string, others []string) (*older, error) {
	o := &older{}
	if out != "-" && out != "" {
		if r, err := openHead(ctx, out); err == nil {
			o.previous = &olderBundle{out, r}
			o.bundles = append(o.bundles, o.previous)
		}
	}
	for _, path := range others {
		r, err := openHead(ctx, path)
		if err != nil {
			o.close()
			return nil, fmt.Errorf("use again: %w", err)
		}
		o.bundles = append(o.bundles, &olderBundle{path, r})
	}
	return o, nil
}

// openHead opens a bundle of which the layers may not be wanted.
func openHead(ctx context.Context, path string) (*archive.Reader, error) {
	r, err := archive.OpenHead(path)
	if errors.Is(err, archive.ErrNoHead) {
		return archive.OpenContext(ctx, path, nil)
	}
	return r, err
}

func (o *older) close() {
	for _, b := range o.bundles {
		b.Close() // only read from
	}
}

func (o *older) document(dg digest.Digest) ([]byte, error) {
	for _, b := range o.bundles {
		if raw, err := b.Document(dg); err == nil {
			return raw, nil
		}
	}
	return nil, archive.ErrNotFound
}

// reuse copies into the draft what older bundles have of it.
func (o *older) reuse(ctx context.Context, draft *archive.Draft) error {
	for _, b := range o.bundles {
		if err := b.unpack(ctx, draft.Missing()); err != nil {
			return err
		}
		if b.HeadOnly() {
			continue // none of its layers is wanted
		}
		if _, err := draft.Reuse(ctx, b.Reader, nil); err != nil {
			return err
		}
	}
	return nil
}

// unpack makes the layers of a compressed bundle readable when one of blobs is in it.
func (b *olderBundle) unpack(ctx context.Context, blobs []archive.Blob) error {
	wanted := func(blob archive.Blob) bool { return b.Has(blob.Digest) }
	if !b.HeadOnly() || !slices.ContainsFunc(blobs, wanted) {
		return nil
	}
	whole, err := archive.OpenContext(ctx, b.path, nil)
	if err != nil {
		return fmt.Errorf("use again: %w", err)
	}
	b.Close() // only read from
	b.Reader = whole
	return nil
}

// same reports whether the bundle at the output is the planned one already, in the form
// that its name asks for.
func (o *older) same(plan *archive.Plan) bool {
	p := o.previous
	return p != nil && p.Digest() == plan.Digest() && p.Size() == plan.Size() && p.Compression() == archive.CompressionOf(p.path)
}

// copyTo writes a blob from an older bundle that has it whole; false when none does. A
// stream cannot take bytes back, so they are hashed once before the first of them goes out.
func (o *older) copyTo(ctx context.Context, blob archive.Blob, sink pull.Sink) (bool, error) {
	for _, b := range o.bundles {
		if err := b.unpack(ctx, []archive.Blob{blob}); err != nil {
			return true, err
		}
		src, err := b.Open(blob.Digest)
		if err != nil {
			continue // not there: perhaps in the next
		}
		if got, err := digest.FromReader(src); err != nil || got != blob.Digest {
			continue // cut or altered: it is fetched instead
		}
		if _, err := src.Seek(0, io.SeekStart); err != nil {
			return true, err
		}
		if _, err := io.Copy(io.NewOffsetWriter(sink, 0), src); err != nil {
			return true, err
		}
		return true, sink.Commit()
	}
	return false, nil
}
