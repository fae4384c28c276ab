package bundle

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/archive/writer"
)

// manifests looks for manifests in the partial file and in bundles to reuse, and keeps new
// ones in the partial file, or in memory for a stream.
type manifests struct {
	file   *writer.File // nil for a stream
	reuse  *reuse
	memory sync.Map // digest → []byte
}

// Metadata implements [pull.MetadataStore] and [archive.MetadataReader].
func (m *manifests) Metadata(d digest.Digest) ([]byte, error) {
	if m.file != nil {
		if raw, err := m.file.Metadata(d); err == nil {
			return raw, nil
		}
	} else if raw, ok := m.memory.Load(d); ok {
		return raw.([]byte), nil
	}
	return m.reuse.document(d)
}

// AddMetadata implements [pull.MetadataStore].
func (m *manifests) AddMetadata(raw []byte) (digest.Digest, error) {
	if m.file != nil {
		return m.file.AddMetadata(raw)
	}
	d := digest.FromBytes(raw)
	m.memory.Store(d, raw)
	return d, nil
}

// reuse are bundles whose manifests and blobs are copied instead of fetched: the one that
// will be replaced, and those of the request.
type reuse struct {
	previous *reusable // at the output; nil when there is none
	since    []*reusable
	bundles  []*reusable // all of them
}

// reusable is one of them. Of a compressed bundle only the metadata is decompressed until
// one of its layers is needed.
type reusable struct {
	path string
	*archive.Reader
}

// openReuse opens the bundles. The file at the output need not be one: it is replaced.
func openReuse(ctx context.Context, output string, paths, since []string) (*reuse, error) {
	u := &reuse{}
	if output != "" {
		if r, err := openMetadata(ctx, output); err == nil {
			u.previous = &reusable{output, r}
			u.bundles = append(u.bundles, u.previous)
		}
	}
	for i, path := range slices.Concat(paths, since) {
		r, err := openMetadata(ctx, path)
		if err != nil {
			u.close()
			return nil, fmt.Errorf("open bundle to reuse: %w", err)
		}
		u.bundles = append(u.bundles, &reusable{path, r})
		if i >= len(paths) {
			u.since = append(u.since, u.bundles[len(u.bundles)-1])
		}
	}
	return u, nil
}

// openMetadata opens a bundle whose layers may not be needed.
func openMetadata(ctx context.Context, path string) (*archive.Reader, error) {
	return archive.Open(ctx, path, &archive.OpenOptions{Metadata: true})
}

func (u *reuse) close() {
	if u == nil {
		return
	}
	for _, b := range u.bundles {
		b.Close() // only read from
	}
}

func (u *reuse) document(d digest.Digest) ([]byte, error) {
	for _, b := range u.bundles {
		if raw, err := b.Metadata(d); err == nil {
			return raw, nil
		}
	}
	return nil, archive.ErrNotFound
}

// fill copies into the partial file what the bundles have of it.
func (u *reuse) fill(ctx context.Context, file *writer.File) error {
	for _, b := range u.bundles {
		if err := b.unpack(ctx, file.Missing()); err != nil {
			return err
		}
		if b.MetadataOnly() {
			continue // none of its layers is needed
		}
		if _, err := file.Reuse(ctx, b.Reader, nil); err != nil {
			return err
		}
	}
	return nil
}

// unpack makes the layers of a compressed bundle readable when it holds one of blobs.
func (b *reusable) unpack(ctx context.Context, blobs []archive.Blob) error {
	has := func(blob archive.Blob) bool { return b.Has(blob.Digest) }
	if !b.MetadataOnly() || !slices.ContainsFunc(blobs, has) {
		return nil
	}
	full, err := archive.Open(ctx, b.path, nil)
	if err != nil {
		return fmt.Errorf("open bundle to reuse: %w", err)
	}
	b.Close() // only read from
	b.Reader = full
	return nil
}

// same reports whether the bundle at the output is the planned one already, compressed as
// its name asks for. It hashes all of it: a damaged bundle is written again, and only its
// damaged blobs are fetched. file is where the new one will be.
func (u *reuse) same(ctx context.Context, plan *archive.Plan, file *writer.File) (bool, error) {
	p := u.previous
	if p == nil || p.Digest() != plan.Digest() || p.Size() != plan.Size() || p.Compression() != archive.CompressionOf(p.path) {
		return false, nil
	}
	err := p.verify(ctx)
	if err == nil || !errors.Is(err, archive.ErrDamaged) {
		return err == nil, err
	}
	if p.MetadataOnly() { // it cannot be decompressed, so nothing but its metadata can be reused
		for _, b := range plan.Blobs() {
			if raw, err := p.Metadata(b.Digest); err == nil {
				if _, err := file.AddMetadata(raw); err != nil {
					return false, err
				}
			}
		}
		u.bundles = slices.DeleteFunc(u.bundles, func(b *reusable) bool { return b == p })
		u.previous = nil
		p.Close() // only read from
	}
	return false, nil
}

// verify hashes every blob of the bundle. A compressed one is decompressed on the way.
func (b *reusable) verify(ctx context.Context) error {
	if !b.MetadataOnly() {
		return b.Verify(ctx, 0, nil)
	}
	f, err := os.Open(b.path)
	if err != nil {
		return err
	}
	defer f.Close() // only read from
	s, err := archive.OpenStream(ctx, f)
	if err != nil {
		return err
	}
	defer s.Close() // only read from
	for {
		e, err := s.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			_, err = io.Copy(io.Discard, e)
		}
		if err != nil {
			return err
		}
	}
}

// copyTo writes a blob from a bundle that holds it intact; it returns false when none does.
// A stream cannot take bytes back, so the blob is hashed before its first byte is written.
func (u *reuse) copyTo(ctx context.Context, blob archive.Blob, w *writer.Blob) (bool, error) {
	for _, b := range u.bundles {
		if err := b.unpack(ctx, []archive.Blob{blob}); err != nil {
			return true, err
		}
		src, err := b.Open(blob.Digest)
		if err != nil {
			continue // not in this one
		}
		if got, err := digest.FromReader(src); err != nil || got != blob.Digest {
			continue // cut or altered: fetch it instead
		}
		if _, err := src.Seek(0, io.SeekStart); err != nil {
			return true, err
		}
		if _, err := io.Copy(io.NewOffsetWriter(w, 0), src); err != nil {
			return true, err
		}
		return true, w.Commit()
	}
	return false, nil
}
