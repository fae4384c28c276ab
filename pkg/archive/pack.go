package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"stowage/internal/fsutil"
	"stowage/internal/iox"
)

// CommitAs is [Draft.Commit] for a compressed file. The plain file stays beside it until
// the compressed one has its name, so that there must be room for both, and so that a
// kill, a full disk ([*SpaceError]) or the end of ctx costs the compressing alone: the
// draft stays open and CommitAs may be called again, now or in a later run.
//
// The same bundle gives the same bytes, on any machine, as long as the version of
// github.com/klauspost/compress stays. The identity does not depend on it.
//
// onBytes, if not nil, is told how many plain bytes were compressed; they add up to
// [Plan.Size]. Other methods wait meanwhile.
func (d *Draft) CommitAs(ctx context.Context, c Compression, onBytes func(int64)) error {
	if c == Plain {
		return d.Commit()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.complete(); err != nil {
		return err
	}
	packed := d.path + packedSuffix
	err := d.pack(ctx, c, packed, onBytes)
	if err == nil {
		err = os.Rename(packed, d.path)
	}
	if err != nil {
		os.Remove(packed) // it is of no use, and the space may be wanted
		return fmt.Errorf("compress %s: %w", d.path, noSpace(err))
	}
	err = fsutil.SyncDir(filepath.Dir(d.path))
	return errors.Join(err, d.discard())
}

// pack writes the compressed file and syncs it.
func (d *Draft) pack(ctx context.Context, c Compression, path string, onBytes func(int64)) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	enc, err := c.encoder(f, d.plan.size)
	if err != nil {
		return err
	}
	buf := iox.Buffer()
	defer iox.Release(buf)
	for off := int64(0); off < d.plan.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := (*buf)[:min(d.plan.size-off, iox.BufferSize)]
		if n, err := d.file.ReadAt(b, off); n < len(b) {
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
	return f.Sync()
}

// Discard closes the draft and removes all it has kept: for a run that finds that the
// file at the output is the wanted one already. After Commit or Close it does nothing.
func (d *Draft) Discard() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	return d.discard()
}

// discard removes the data files, then the journal, while it still locks them; d.mu is
// held.
func (d *Draft) discard() error {
	if d.journal == nil {
		return d.closeLocked() // nothing was ever kept
	}
	for _, p := range d.parts {
		p.abandon()
	}
	var errs []error
	if d.file != nil {
		// Some systems cannot remove an open file.
		errs = append(errs, d.file.Close())
		d.file = nil
	}
	dir, base := filepath.Split(d.path + partialSuffix)
	entries, err := os.ReadDir(filepath.Clean(dir))
	errs = append(errs, err)
	for _, e := range entries {
		if rest, ok := strings.CutPrefix(e.Name(), base); ok && isData(rest) {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	errs = append(errs, d.journal.remove())
	d.journal.f.Close()
	d.journal = nil
	return errors.Join(append(errs, d.closeLocked())...)
}

// isData tells the data files of a draft by what follows ".partial" in their names.
func isData(rest string) bool {
	number, aside := strings.CutPrefix(rest, ".")
	_, err := strconv.ParseUint(number, 10, 32)
	return rest == "" || partialSuffix+rest == packedSuffix || aside && err == nil
}
