package writer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"stowage/internal/fsutil"
	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// CommitAs is [File.Commit] for a compressed file. The plain file stays beside it until
// the compressed one has its final name. So there must be room for both, and a kill, a
// full disk ([*archive.SpaceError]) or the end of ctx loses only the compression: f stays
// open and CommitAs may be called again, now or in a later run.
//
// The same bundle has the same compressed bytes on every machine, as long as the version
// of github.com/klauspost/compress stays. The identity does not depend on it.
//
// onBytes, if not nil, is called with numbers of plain bytes that were compressed; they
// add up to [archive.Plan.Size]. Other methods wait meanwhile.
func (f *File) CommitAs(ctx context.Context, c archive.Compression, onBytes func(int64)) error {
	if c == archive.Plain {
		return f.Commit()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.checkComplete(); err != nil {
		return err
	}
	compressed := f.path + compressedSuffix
	err := f.compress(ctx, c, compressed, onBytes)
	if err == nil {
		err = os.Rename(compressed, f.path)
	}
	if err != nil {
		os.Remove(compressed) // useless, and its space may be needed
		return fmt.Errorf("compress %s: %w", f.path, archive.NoSpace(err))
	}
	err = fsutil.SyncDir(filepath.Dir(f.path))
	return errors.Join(err, f.discard())
}

// compress writes the compressed file and syncs it.
func (f *File) compress(ctx context.Context, c archive.Compression, path string, onBytes func(int64)) (err error) {
	out, err := fsutil.OpenOwn(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666) // Start removed what was there
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	enc, err := c.NewWriter(out, f.plan.Size())
	if err != nil {
		return err
	}
	buf := iox.Buffer()
	defer iox.Release(buf)
	for off := int64(0); off < f.plan.Size(); {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := (*buf)[:min(f.plan.Size()-off, iox.BufferSize)]
		if n, err := f.file.ReadAt(b, off); n < len(b) {
			return fmt.Errorf("read back: %w", err)
		}
		if _, err := enc.Write(b); err != nil {
			return err
		}
		off += int64(len(b))
		if onBytes != nil {
			onBytes(int64(len(b)))
		}
	}
	if err := enc.Close(); err != nil {
		return err
	}
	return errors.Join(fsutil.KeepMode(out, f.path), out.Sync())
}
