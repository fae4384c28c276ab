package writer

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
	"stowage/pkg/archive"
)

// Start sets the plan of the bundle. It checks the free space ([*archive.SpaceError]) and
// reserves it, and puts everything that f has already into its place: headers, manifests,
// and the blobs of an earlier run, each hashed again, even when that run had another plan
// in which they stood elsewhere. A blob that fails its hash becomes missing again.
//
// onBytes, if not nil, is called with numbers of bytes that were hashed, from several
// goroutines. When ctx ends, Start returns its error and f can only be closed.
func (f *File) Start(ctx context.Context, p *archive.Plan, onBytes func(int64)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.plan != nil {
		return errStarted
	}
	if _, err := f.ready(); err != nil {
		return fmt.Errorf("start %s: %w", f.path, err)
	}
	if onBytes == nil {
		onBytes = func(int64) {}
	}
	s := &start{to: f, plan: p, onBytes: onBytes, old: map[uint32]*os.File{}}
	defer s.closeOld()
	if err := s.run(ctx); err != nil {
		return fmt.Errorf("start %s: %w", f.path, err)
	}
	f.records = newRecords() // no longer needed
	return nil
}

// start is the work of Start. An earlier run may have written blobs to places that the
// new plan assigns to others. Its data file is then put aside under a number (its
// generation), and its blobs are copied over one by one. Each step is recorded in the
// journal before it is done, so that the next run can continue after a kill in between.
type start struct {
	to      *File
	plan    *archive.Plan
	onBytes func(int64)
	old     map[uint32]*os.File // data files put aside, by generation
}

func (s *start) run(ctx context.Context) error {
	if err := s.openOld(); err != nil {
		return err
	}
	file, err := fsutil.OpenOwn(s.to.path+partialSuffix, os.O_RDWR|os.O_CREATE, 0o666)
	if err != nil {
		return err
	}
	s.to.file, s.to.plan, s.to.complete = file, s.plan, make([]bool, len(s.plan.Blobs()))
	if err := s.checkSpace(); err != nil {
		return err
	}
	if err := s.writeFrame(); err != nil {
		return err
	}
	if err := s.writeMetadata(); err != nil {
		return err
	}
	if err := s.resume(ctx); err != nil {
		return err
	}
	if len(s.old) == 0 {
		return nil
	}
	if err := s.removeOld(); err != nil {
		return err
	}
	return s.reserve()
}

// openOld opens the data files of earlier generations. It first puts the newest aside
// when the new plan does not agree with it.
func (s *start) openOld() error {
	f, r := s.to, s.to.records
	// Remove what a run killed in CommitAs left; it cannot be resumed.
	if err := os.Remove(f.path + compressedSuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if s.disagrees() {
		if err := f.journal.number(recordGeneration, r.generation+1); err != nil {
			return err
		}
		r.advance(r.generation + 1)
	}
	// A kill between the record and the rename leaves the file under its first name.
	if last := r.generation - 1; r.aside[last] {
		if _, err := os.Lstat(s.aside(last)); errors.Is(err, fs.ErrNotExist) {
			err := os.Rename(f.path+partialSuffix, s.aside(last))
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	for age := range r.aside {
		file, err := fsutil.OpenOwn(s.aside(age), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			r.retire(age)
			continue
		}
		if err != nil {
			return err
		}
		s.old[age] = file
	}
	return nil
}

// aside returns the name of a data file of an earlier generation.
func (s *start) aside(generation uint32) string {
	return fmt.Sprintf("%s%s.%d", s.to.path, partialSuffix, generation)
}

// disagrees reports whether a blob of the plan lies elsewhere in the newest data file.
func (s *start) disagrees() bool {
	for d, r := range s.to.records.blobs {
		if i, err := s.plan.Find(d); err == nil && r.generation == s.to.records.generation {
			if b := &s.plan.Blobs()[i]; b.Offset != r.offset || b.Size != r.size {
				return true
			}
		}
	}
	return false
}

// checkSpace refuses early when the file system cannot hold the rest. The space of the
// old data files is freed while they are copied.
func (s *start) checkSpace() error {
	dir := filepath.Dir(s.to.path)
	if err := s.to.file.Truncate(min(s.plan.Size(), fileSize(s.to.file))); err != nil {
		return err
	}
	need := s.plan.Size() - fsutil.Allocated(s.to.file)
	for _, f := range s.old {
		need -= fsutil.Allocated(f)
	}
	if free, known := fsutil.Free(dir); known && need > free {
		return &archive.SpaceError{Path: dir, Need: need, Free: free}
	}
	if len(s.old) == 0 {
		return s.reserve()
	}
	return s.to.file.Truncate(s.plan.Size())
}

func (s *start) reserve() error {
	err := archive.NoSpace(fsutil.Reserve(s.to.file, s.plan.Size()))
	if e, ok := errors.AsType[*archive.SpaceError](err); ok {
		e.Need = s.plan.Size() - fsutil.Allocated(s.to.file)
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

// writeFrame writes what is not a blob: the first entries, headers, padding, the end.
func (s *start) writeFrame() error {
	first, err := s.plan.Preamble()
	if err != nil {
		return err
	}
	if _, err := s.to.file.WriteAt(first, 0); err != nil {
		return archive.NoSpace(err)
	}
	for i := 0; i <= len(s.plan.Blobs()); i++ {
		gap, off, err := s.plan.Gap(i)
		if err != nil {
			return err
		}
		if _, err := s.to.file.WriteAt(gap, off); err != nil {
			return archive.NoSpace(err)
		}
	}
	return nil
}

// writeMetadata writes the blobs that the journal holds, and completes those of 0 bytes.
func (s *start) writeMetadata() error {
	f := s.to
	for i := range s.plan.Blobs() {
		blob := &s.plan.Blobs()[i]
		raw, err := f.journal.metadata(blob.Digest)
		if errors.Is(err, archive.ErrNotFound) {
			f.complete[i] = blob.Size == 0
			continue
		}
		if err != nil {
			return err
		}
		if int64(len(raw)) != blob.Size {
			return fmt.Errorf("blob %s: manifest of %d bytes, its descriptor says %d", blob.Digest, len(raw), blob.Size)
		}
		if _, err := f.file.WriteAt(raw, blob.Offset); err != nil {
			return archive.NoSpace(err)
		}
		f.complete[i] = true
	}
	return nil
}

// task is a blob that an earlier run recorded, complete or in part.
type task struct {
	blob   *partial
	record *record
	from   *os.File // the data file it is in
}

// resume hashes what the journal records, copying it from old data files.
func (s *start) resume(ctx context.Context) error {
	f := s.to
	var tasks []task
	for d, r := range f.records.blobs {
		i, err := s.plan.Find(d)
		if err != nil || f.complete[i] || s.plan.Blobs()[i].Size != r.size {
			continue
		}
		from := f.file
		if r.generation != f.records.generation {
			from = s.old[r.generation]
		}
		tasks = append(tasks, task{blob: f.partialOf(i), record: r, from: from})
	}
	slices.SortFunc(tasks, func(x, y task) int { return cmp.Compare(x.record.offset, y.record.offset) })
	// Release f.mu: each blob calls done when it is complete, which takes it.
	f.mu.Unlock()
	defer f.mu.Lock()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(min(4, runtime.GOMAXPROCS(0)))
	for _, t := range tasks {
		g.Go(func() error { return t.run(ctx, s.onBytes) })
	}
	err := g.Wait()
	for _, t := range tasks {
		f.resumed += t.blob.blob.Size - t.blob.lacks()
	}
	return err
}

// run hashes the recorded bytes of one blob: its start up to the last checkpoint that
// matches, and its out-of-order ranges.
func (t task) run(ctx context.Context, onBytes func(int64)) error {
	p, r := t.blob, t.record
	moved := t.from != p.file
	checkpoints := r.checkpoints
	if r.complete {
		checkpoints = []checkpoint{{n: r.size, sum: manifest.RawDigest(p.blob.Digest)}}
	}
	good := true
	for _, c := range checkpoints {
		last, at := cloneHash(p.hash), p.hashed
		if err := t.advance(ctx, c.n, moved, onBytes); err != nil {
			return err
		}
		if good = p.hashed == c.n && [32]byte(p.hash.Sum(nil)) == c.sum; !good {
			p.hash, p.hashed = last, at
			break
		}
	}
	if err := t.resumeAhead(ctx, moved, onBytes); err != nil {
		return err
	}
	if err := t.save(moved, good); err != nil {
		return err
	}
	if moved {
		// Not earlier: until the new records were written, this was the only copy.
		fsutil.Punch(t.from, r.offset, r.size)
	}
	return nil
}

// save records in the journal what it did not know.
func (t task) save(moved, good bool) error {
	p := t.blob
	p.mu.Lock()
	if !moved {
		p.saved = p.hashed
	}
	p.drain(nil, 0)
	err := p.err
	p.mu.Unlock()
	switch {
	case err != nil:
		return err
	case p.hashed == p.blob.Size && !moved && t.record.complete:
		p.complete = true
		p.done()
		return nil
	case p.hashed == p.blob.Size:
		p.open = true
		defer p.close()
		// A DigestError here: all checkpoints match but the digest does not, so the server
		// sent wrong bytes. commit has dropped them.
		if err := p.commit(); !isDigestError(err) {
			return err
		}
		return nil
	case !good && !moved:
		if err := p.journal.blobDropped(p.blob); err != nil {
			return err
		}
		p.saved = 0
		for i := range p.ahead {
			p.ahead[i].saved = p.ahead[i].start
		}
	}
	return p.save()
}

func isDigestError(err error) bool {
	_, ok := errors.AsType[*archive.DigestError](err)
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
	p := t.blob
	buf := iox.Buffer()
	defer iox.Release(buf)
	for p.hashed < n {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := (*buf)[:min(n-p.hashed, iox.BufferSize)]
		if _, err := t.from.ReadAt(b, t.record.offset+p.hashed); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if moved {
			if _, err := p.file.WriteAt(b, p.blob.Offset+p.hashed); err != nil {
				return archive.NoSpace(err)
			}
		}
		p.hash.Write(b)
		p.hashed += int64(len(b))
		onBytes(int64(len(b)))
	}
	return nil
}

// removeOld removes the old data files once all their blobs were copied.
func (s *start) removeOld() error {
	for age, f := range s.old {
		if err := s.to.journal.number(recordRetired, age); err != nil {
			return err
		}
		name := f.Name()
		f.Close()
		delete(s.old, age)
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

func (s *start) closeOld() {
	for _, f := range s.old {
		f.Close()
	}
}
