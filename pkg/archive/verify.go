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

// Verify hashes every blob again and gives all that is wrong, in the order of the file,
// each with [ErrDamaged] in it. jobs blobs are read at once, one a processor when it is
// 0. onBytes, if not nil, is told how many bytes were read, from several goroutines.
// An error of the disk or of ctx ends it at once, and so does [ErrHeadOnly].
func (r *Reader) Verify(ctx context.Context, jobs int, onBytes func(int64)) error {
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	if onBytes == nil {
		onBytes = func(int64) {}
	}
	if r.HeadOnly() {
		return fmt.Errorf("verify %s: %w", r.Name(), ErrHeadOnly)
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
			return fmt.Errorf("read %s: %w", r.Name(), err)
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
