package writer

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// growingRange is an out-of-order range that is being written. The journal has it up to
// saved.
type growingRange struct {
	aheadRange
	saved int64
}

// growAhead records bytes that were just written ahead of the hashed prefix. A large blob
// arrives in several ranges at once, and a kill should cost none of them; p.mu is held.
func (p *partial) growAhead(b []byte, start int64) error {
	// What the prefix has reached needs no checksum any more.
	p.ahead = slices.DeleteFunc(p.ahead, func(g growingRange) bool { return g.start < p.hashed })
	if start <= p.hashed || len(b) == 0 {
		return nil
	}
	i := slices.IndexFunc(p.ahead, func(g growingRange) bool { return g.end == start })
	if i < 0 {
		i = len(p.ahead)
		p.ahead = append(p.ahead, growingRange{aheadRange: aheadRange{start: start, end: start}, saved: start})
	}
	g := &p.ahead[i]
	g.sum = crc32.Update(g.sum, castagnoli, b)
	g.end += int64(len(b))
	if g.end-g.saved < checkpointEvery {
		return nil
	}
	g.saved = g.end
	return p.journal.blobAhead(p.blob, g.aheadRange)
}

// resumeAhead adopts the out-of-order ranges of an earlier run whose checksum still
// matches.
func (t task) resumeAhead(ctx context.Context, moved bool, onBytes func(int64)) error {
	for _, a := range t.record.ahead {
		if a.end <= t.blob.hashed {
			continue
		}
		ok, err := t.checkAhead(ctx, a, moved, onBytes)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		g := growingRange{aheadRange: a, saved: a.end}
		if moved {
			g.saved = a.start // the journal does not know it at the new place
		}
		t.blob.ahead = append(t.blob.ahead, g)
		t.blob.there.add(max(a.start, t.blob.hashed), a.end)
	}
	return nil
}

// checkAhead reports whether a range has its checksum. It copies it if the blob moves.
func (t task) checkAhead(ctx context.Context, a aheadRange, moved bool, onBytes func(int64)) (bool, error) {
	buf := iox.Buffer()
	defer iox.Release(buf)
	sum := uint32(0)
	for at := a.start; at < a.end; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		b := (*buf)[:min(a.end-at, iox.BufferSize)]
		if _, err := t.from.ReadAt(b, t.record.offset+at); err != nil {
			if errors.Is(err, io.EOF) {
				return false, nil
			}
			return false, err
		}
		if moved {
			if _, err := t.blob.file.WriteAt(b, t.blob.blob.Offset+at); err != nil {
				return false, archive.NoSpace(err)
			}
		}
		sum = crc32.Update(sum, castagnoli, b)
		at += int64(len(b))
		onBytes(int64(len(b)))
	}
	return sum == a.sum, nil
}
