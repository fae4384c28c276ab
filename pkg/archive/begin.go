package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"stowage/internal/fsutil"
	"stowage/internal/iox"
	"stowage/internal/manifest"
)

// Begin gives the draft its plan: space is checked ([*SpaceError]) and reserved, and
// everything the draft knows already is put into its place: headers, documents, and the
// blobs of an earlier run, each hashed again, even when that run had another plan in
// which they stood elsewhere. What turns out not to be good becomes missing again.
//
// onBytes, if not nil, is told how many bytes have been looked through, from several
// goroutines. When ctx ends, Begin returns its error and the draft can only be closed.
func (d *Draft) Begin(ctx context.Context, p *Plan, onBytes func(int64)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plan != nil {
		return errBegun
	}
	if _, err := d.ready(); err != nil {
		return fmt.Errorf("begin %s: %w", d.path, err)
	}
	if onBytes == nil {
		onBytes = func(int64) {}
	}
	b := &beginning{draft: d, plan: p, onBytes: onBytes, old: map[uint32]*os.File{}}
	defer b.closeOld()
	if err := b.run(ctx); err != nil {
		return fmt.Errorf("begin %s: %w", d.path, err)
	}
	d.claims = newClaims() // used up
	return nil
}

// beginning is the work of Begin. An earlier run may have written blobs to places that
// the new plan gives to others. Its data file is then put aside under a number (its
// generation), and its blobs are copied over one by one. The journal says a thing before
// it is done, so that a kill in between is understood by the next run.
type beginning struct {
	draft   *Draft
	plan    *Plan
	onBytes func(int64)
	old     map[uint32]*os.File // data files put aside, by generation
}

func (b *beginning) run(ctx context.Context) error {
	d := b.draft
	if err := b.sortOut(); err != nil {
		return err
	}
	f, err := os.OpenFile(d.path+partialSuffix, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	d.file, d.plan, d.whole = f, b.plan, make([]bool, len(b.plan.blobs))
	if err := b.space(); err != nil {
		return err
	}
	if err := b.frame(); err != nil {
		return err
	}
	if err := b.documents(); err != nil {
		return err
	}
	if err := b.resume(ctx); err != nil {
		return err
	}
	if len(b.old) == 0 {
		return nil
	}
	if err := b.removeOld(); err != nil {
		return err
	}
	return b.reserve()
}

// sortOut finds the data files of earlier generations and puts the newest aside when the
// new plan does not agree with it.
func (b *beginning) sortOut() error {
	d, c := b.draft, b.draft.claims
	// Of a run killed while it compressed. Its space is needed, its bytes are not.
	if err := os.Remove(d.path + packedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if b.disagrees() {
		if err := d.journal.number(recordGeneration, c.generation+1); err != nil {
			return err
		}
		c.advance(c.generation + 1)
	}
	// A kill between the record and the rename leaves the file under its first name.
	if last := c.generation - 1; c.aside[last] {
		if _, err := os.Lstat(b.aside(last)); errors.Is(err, fs.ErrNotExist) {
			err := os.Rename(d.path+partialSuffix, b.aside(last))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for age := range c.aside {
		f, err := os.OpenFile(b.aside(age), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			c.retire(age)
			continue
		}
		if err != nil {
			return err
		}
		b.old[age] = f
	}
	return nil
}

// aside names a data file of an earlier generation.
func (b *beginning) aside(generation uint32) string {
	return fmt.Sprintf("%s%s.%d", b.draft.path, partialSuffix, generation)
}

// disagrees tells whether a blob of the plan lies elsewhere in the newest data file.
func (b *beginning) disagrees() bool {
	for dg, cl := range b.draft.claims.blobs {
		if i, ok := b.plan.at[dg]; ok && cl.generation == b.draft.claims.generation {
			if p := &b.plan.blobs[i]; p.Offset != cl.offset || p.Size != cl.size {
				return true
			}
		}
	}
	return false
}

// space refuses early when the file system cannot hold the rest. What the old data files
// take comes back while they are copied.
func (b *beginning) space() error {
	dir := filepath.Dir(b.draft.path)
	if err := b.draft.file.Truncate(min(b.plan.size, fileSize(b.draft.file))); err != nil {
		return err
	}
	need := b.plan.size - fsutil.Allocated(b.draft.file)
	for _, f := range b.old {
		need -= fsutil.Allocated(f)
	}
	if free, known := fsutil.Free(dir); known && need > free {
		return &SpaceError{Path: dir, Need: need, Free: free}
	}
	if len(b.old) == 0 {
		return b.reserve()
	}
	return b.draft.file.Truncate(b.plan.size)
}

func (b *beginning) reserve() error {
	err := noSpace(fsutil.Reserve(b.draft.file, b.plan.size))
	if s, ok := errors.AsType[*SpaceError](err); ok {
		s.Need = b.plan.size - fsutil.Allocated(b.draft.file)
	}
	return err
}

func fileSize(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// frame writes what is not a blob: the first entries, headers, padding, the end.
func (b *beginning) frame() error {
	head, err := b.plan.headBytes()
	if err != nil {
		return err
	}
	if _, err := b.draft.file.WriteAt(head, 0); err != nil {
		return noSpace(err)
	}
	for i := 0; i <= len(b.plan.blobs); i++ {
		gap, off, err := b.plan.before(i)
		if err != nil {
			return err
		}
		if _, err := b.draft.file.WriteAt(gap, off); err != nil {
			return noSpace(err)
		}
	}
	return nil
}

// documents writes the blobs the journal holds, and those without bytes.
func (b *beginning) documents() error {
	d := b.draft
	for i := range b.plan.blobs {
		blob := &b.plan.blobs[i]
		raw, err := d.journal.document(blob.Digest)
		if errors.Is(err, ErrNotFound) {
			d.whole[i] = blob.Size == 0
			continue
		}
		if err != nil {
			return err
		}
		if int64(len(raw)) != blob.Size {
			return fmt.Errorf("blob %s: document of %d bytes, its descriptor says %d", blob.Digest, len(raw), blob.Size)
		}
		if _, err := d.file.WriteAt(raw, blob.Offset); err != nil {
			return noSpace(err)
		}
		d.whole[i] = true
	}
	return nil
}

// task is a blob an earlier run claims to have, wholly or in part.
type task struct {
	part  *part
	claim *claim
	from  *os.File // the data file it is in
}

// resume hashes what the journal claims, copying it from old data files.
func (b *beginning) resume(ctx context.Context) error {
	d := b.draft
	var tasks []task
	for dg, cl := range d.claims.blobs {
		i, ok := b.plan.at[dg]
		if !ok || d.whole[i] || b.plan.blobs[i].Size != cl.size {
			continue
		}
		from := d.file
		if cl.generation != d.claims.generation {
			from = b.old[cl.generation]
		}
		tasks = append(tasks, task{part: d.partOf(int(i)), claim: cl, from: from})
	}
	slices.SortFunc(tasks, func(x, y task) int { return cmp.Compare(x.claim.offset, y.claim.offset) })
	// The lock is given up: parts report to the draft when they are whole.
	d.mu.Unlock()
	defer d.mu.Lock()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(4, runtime.GOMAXPROCS(0)))
	for _, t := range tasks {
		g.Go(func() error { return t.take(ctx, b.onBytes) })
	}
	return g.Wait()
}

// take goes through the claimed bytes of one blob: the start up to the last mark that
// holds, and what had come ahead of it.
func (t task) take(ctx context.Context, onBytes func(int64)) error {
	p, cl := t.part, t.claim
	moved := t.from != p.file
	marks := cl.marks
	if cl.whole {
		marks = []mark{{n: cl.size, sum: manifest.RawDigest(p.blob.Digest)}}
	}
	good := true
	for _, m := range marks {
		last, at := cloneHash(p.hash), p.hashed
		if err := t.advance(ctx, m.n, moved, onBytes); err != nil {
			return err
		}
		if good = p.hashed == m.n && [32]byte(p.hash.Sum(nil)) == m.sum; !good {
			p.hash, p.hashed = last, at
			break
		}
	}
	if err := t.land(ctx, moved, onBytes); err != nil {
		return err
	}
	if err := t.record(moved, good); err != nil {
		return err
	}
	if moved {
		// Only now: until the records were written, this was the one copy.
		fsutil.Punch(t.from, cl.offset, cl.size)
	}
	return nil
}

// record tells the journal what was found, where it did not know.
func (t task) record(moved, good bool) error {
	p := t.part
	p.mu.Lock()
	if !moved {
		p.marked = p.hashed
	}
	p.drain(nil, 0)
	err := p.err
	p.mu.Unlock()
	switch {
	case err != nil:
		return err
	case p.hashed == p.blob.Size && !moved && t.claim.whole:
		p.whole = true
		p.done()
		return nil
	case p.hashed == p.blob.Size:
		p.open = true
		defer p.close()
		// Wrong although all its marks held: the blob never was right. It is dropped.
		if err := p.commit(); !isDigest(err) {
			return err
		}
		return nil
	case !good && !moved:
		if err := p.journal.blobDropped(p.blob); err != nil {
			return err
		}
		p.marked = 0
		for i := range p.islands {
			p.islands[i].saved = p.islands[i].start
		}
	}
	return p.remember()
}

func isDigest(err error) bool {
	_, ok := errors.AsType[*DigestError](err)
	return ok
}

// cloneHash copies the state of a hash of the standard library.
func cloneHash(h hash.Hash) hash.Hash {
	c, err := h.(hash.Cloner).Clone()
	if err != nil {
		panic(err) // sha256 cannot fail here
	}
	return c
}

// advance hashes, and copies if the blob moves, up to n bytes; fewer when the file ends.
func (t task) advance(ctx context.Context, n int64, moved bool, onBytes func(int64)) error {
	p := t.part
	buf := iox.Buffer()
	defer iox.Release(buf)
	for p.hashed < n {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := (*buf)[:min(n-p.hashed, iox.BufferSize)]
		if _, err := t.from.ReadAt(b, t.claim.offset+p.hashed); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if moved {
			if _, err := p.file.WriteAt(b, p.blob.Offset+p.hashed); err != nil {
				return noSpace(err)
			}
		}
		p.hash.Write(b)
		p.hashed += int64(len(b))
		onBytes(int64(len(b)))
	}
	return nil
}

// removeOld drops the old data files once nothing in them is wanted.
func (b *beginning) removeOld() error {
	for age, f := range b.old {
		if err := b.draft.journal.number(recordRetired, age); err != nil {
			return err
		}
		name := f.Name()
		f.Close()
		delete(b.old, age)
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

func (b *beginning) closeOld() {
	for _, f := range b.old {
		f.Close()
	}
}
