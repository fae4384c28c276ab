package archive

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"stowage/internal/iox"
)

// Verify hashes every blob and returns an error for each damaged one, in the order of the
// file, each wrapping [ErrDamaged]. It reads jobs blobs at once; 0 means one for each
// processor. onBytes, if not nil, is called with numbers of bytes that were read, from
// several goroutines. An error of the disk or of ctx ends Verify at once, and so does
// [ErrMetadataOnly].
func (r *Reader) Verify(ctx context.Context, jobs int, onBytes func(int64)) error {
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
			err := r.verifyBlob(inner, &r.blobs[i], onBytes)
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

func (r *Reader) verifyBlob(ctx context.Context, b *Blob, onBytes func(int64)) error {
	h := sha256.New()
	buf := iox.Buffer()
	defer iox.Release(buf)
	for off := int64(0); off < b.Size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		p := (*buf)[:min(b.Size-off, iox.BufferSize)]
		n, err := r.src.ReadAt(p, b.Offset+off)
		if n < len(p) {
			if errors.Is(err, io.EOF) {
				return r.damaged(b, adviceCopy, fmt.Errorf("cut after %d of %d bytes: %w", off+int64(n), b.Size, io.ErrUnexpectedEOF))
			}
			return r.readError(err)
		}
		h.Write(p)
		off += int64(n)
		onBytes(int64(n))
	}
	if got := digest.NewDigest(digest.SHA256, h); got != b.Digest {
		return r.damaged(b, adviceCopy, &DigestError{Want: b.Digest, Got: got, Size: b.Size})
	}
	return nil
}
