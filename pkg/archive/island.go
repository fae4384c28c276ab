package archive

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"slices"

	"stowage/internal/iox"
)

// growing is an island that is being written, and how much of it the journal knows.
type growing struct {
	island
	saved int64
}

// grow takes bytes into account that were just written ahead of the hashed prefix: a
// large blob comes in several ranges at once, and a kill should cost none of them.
func (p *part) grow(b []byte, start int64) error {
	// What the prefix has reached needs no checksum any more.
	p.islands = slices.DeleteFunc(p.islands, func(g growing) bool { return g.start < p.hashed })
	if start <= p.hashed || len(b) == 0 {
		return nil
	}
	i := slices.IndexFunc(p.islands, func(g growing) bool { return g.end == start })
	if i < 0 {
		i = len(p.islands)
		p.islands = append(p.islands, growing{island: island{start: start, end: start}, saved: start})
	}
	g := &p.islands[i]
	g.sum = crc32.Update(g.sum, castagnoli, b)
	g.end += int64(len(b))
	if g.end-g.saved < markEvery {
		return nil
	}
	g.saved = g.end
	return p.journal.blobIsland(p.blob, g.island)
}

// land takes up the islands of an earlier run that are still what they were.
func (t task) land(ctx context.Context, moved bool, onBytes func(int64)) error {
	for _, i := range t.claim.islands {
		if i.end <= t.part.hashed {
			continue
		}
		ok, err := t.sound(ctx, i, moved, onBytes)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		g := growing{island: i, saved: i.end}
		if moved {
			g.saved = i.start // not known at the new place
		}
		t.part.islands = append(t.part.islands, g)
		t.part.there.add(max(i.start, t.part.hashed), i.end)
	}
	return nil
}

// sound checks an island, copying it if the blob moves.
func (t task) sound(ctx context.Context, i island, moved bool, onBytes func(int64)) (bool, error) {
	buf := iox.Buffer()
	defer iox.Release(buf)
	sum := uint32(0)
	for at := i.start; at < i.end; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		b := (*buf)[:min(i.end-at, iox.BufferSize)]
		if _, err := t.from.ReadAt(b, t.claim.offset+at); err != nil {
			if errors.Is(err, io.EOF) {
				return false, nil
			}
			return false, err
		}
		if moved {
			if _, err := t.part.file.WriteAt(b, t.part.blob.Offset+at); err != nil {
				return false, noSpace(err)
			}
		}
		sum = crc32.Update(sum, castagnoli, b)
		at += int64(len(b))
		onBytes(int64(len(b)))
	}
	return sum == i.sum, nil
}
