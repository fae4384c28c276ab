package writer

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/sync/errgroup"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// reuseJobs is how many blobs are copied at once: hashing, not the disk, is the bottleneck.
const reuseJobs = 4

// Reuse copies the missing blobs that another bundle has, hashing each on the way, and
// returns how many it copied. A blob that is cut or altered in src stays missing and is no
// error. onBytes, if not nil, is called with numbers of bytes copied, from several
// goroutines.
func (f *File) Reuse(ctx context.Context, src *archive.Reader, onBytes func(int64)) (int, error) {
	if onBytes == nil {
		onBytes = func(int64) {}
	}
	if src.MetadataOnly() {
		return 0, fmt.Errorf("reuse %s: %w", src.Name(), archive.ErrMetadataOnly)
	}
	missing := f.Missing()
	used := make([]bool, len(missing))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(reuseJobs)
	for i := range missing {
		from, err := src.Open(missing[i].Digest)
		if err != nil || from.Size() != missing[i].Size {
			continue
		}
		g.Go(func() (err error) {
			used[i], err = f.reuse(ctx, from, &missing[i], onBytes)
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
		return n, fmt.Errorf("reuse %s: %w", src.Name(), err)
	}
	return n, nil
}

// reuse copies one blob from src; false when it is cut or altered there.
func (f *File) reuse(ctx context.Context, src io.ReaderAt, b *archive.Blob, onBytes func(int64)) (bool, error) {
	w, err := f.Blob(b.Digest)
	if err != nil {
		return false, err
	}
	defer w.Close()
	buf := iox.Buffer()
	defer iox.Release(buf)
	for off := w.Prefix(); off < b.Size; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n, _ := src.ReadAt((*buf)[:min(b.Size-off, iox.BufferSize)], off)
		if n == 0 {
			return false, nil // a read error of src only means that the blob stays missing
		}
		if _, err := w.WriteAt((*buf)[:n], off); err != nil {
			return false, err
		}
		off += int64(n)
		onBytes(int64(n))
	}
	err = w.Commit()
	if isDigestError(err) {
		return false, nil
	}
	return err == nil, err
}
