package archive

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"stowage/internal/iox"
)

// reuseJobs is how many blobs are copied at once: hashing, not the disk, is the bound.
const reuseJobs = 4

// Reuse copies the missing blobs that another bundle has, each hashed on the way, and
// gives how many it could use. A blob of src that is cut or altered stays missing and is
// no error. onBytes, if not nil, is told how many bytes were copied, from several
// goroutines.
func (d *Draft) Reuse(ctx context.Context, src *Reader, onBytes func(int64)) (int, error) {
	if onBytes == nil {
		onBytes = func(int64) {}
	}
	if src.HeadOnly() {
		return 0, fmt.Errorf("reuse %s: %w", src.name(), ErrHeadOnly)
	}
	missing := d.Missing()
	used := make([]bool, len(missing))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(reuseJobs)
	for i := range missing {
		if b, err := src.blob(missing[i].Digest); err != nil || b.Size != missing[i].Size {
			continue
		}
		g.Go(func() (err error) {
			used[i], err = d.reuse(ctx, src, &missing[i], onBytes)
			return err
		})
	}
	err := g.Wait()
	n := 0
	for _, u := range used {
		if u {
			n++
		}
	}
	if err != nil {
		return n, fmt.Errorf("reuse %s: %w", src.name(), err)
	}
	return n, nil
}

// reuse copies one blob; false when src does not have it soundly.
func (d *Draft) reuse(ctx context.Context, src *Reader, b *Blob, onBytes func(int64)) (bool, error) {
	w, err := d.Blob(b.Digest)
	if err != nil {
		return false, err
	}
	defer w.Close()
	r, err := src.Open(b.Digest)
	if err != nil {
		return false, err
	}
	buf := iox.Buffer()
	defer iox.Release(buf)
	for off := w.Prefix(); off < b.Size; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, err := r.ReadAt((*buf)[:min(b.Size-off, iox.BufferSize)], off)
		if n == 0 && err != nil && err != io.EOF {
			return false, nil // that file's trouble, not ours
		}
		if n == 0 {
			return false, nil
		}
		if _, err := w.WriteAt((*buf)[:n], off); err != nil {
			return false, err
		}
		off += int64(n)
		onBytes(int64(n))
	}
	err = w.Commit()
	if isDigest(err) {
		return false, nil
	}
	return err == nil, err
}
