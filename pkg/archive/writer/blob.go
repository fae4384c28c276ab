package writer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// checkpointEvery is how many bytes of each range of a blob a kill may cost. Checkpoints
// are at multiples of it.
const checkpointEvery = 4 << 20

// A Blob writes one blob, at offsets counted from its start. Its methods may be called
// from many goroutines. Bytes are hashed in order as they are written; those written ahead
// are read back and hashed once the gap before them is filled.
//
// The first write of a byte counts: a range written again is skipped, so that a retry may
// overlap what is there. Two goroutines must not write the same range at once.
type Blob struct{ to target }

// target is a blob of a [File] or of a [Stream].
type target interface {
	writeAt(p []byte, off int64) (int, error)
	prefix() int64
	missing() []span
	commit() error
	close() error
}

// WriteAt implements [io.WriterAt]. A write outside the blob is an error. On a stream it
// waits until the bytes fit into the window.
func (b *Blob) WriteAt(p []byte, off int64) (int, error) { return b.to.writeAt(p, off) }

// Prefix returns how many bytes from the start are written and hashed.
func (b *Blob) Prefix() int64 { return b.to.prefix() }

// Missing yields the offset and length of each range that is not written yet, ascending.
func (b *Blob) Missing() iter.Seq2[int64, int64] {
	return func(yield func(off, length int64) bool) {
		for _, s := range b.to.missing() {
			if !yield(s.start, s.end-s.start) {
				return
			}
		}
	}
}

// Commit finishes the blob and checks its size and digest. After an
// [*archive.DigestError] all its bytes are dropped, [Blob.Prefix] is 0, and it may be
// written again. Missing bytes are an [io.ErrUnexpectedEOF]. Commit must not be called
// during a WriteAt.
func (b *Blob) Commit() error { return b.to.commit() }

// Close closes the writer of the blob. Without Commit, what was written stays for a later
// one.
func (b *Blob) Close() error { return b.to.close() }

// partial is a blob of a file that is not complete yet. It outlives its writers.
type partial struct {
	blob    *archive.Blob
	file    *os.File
	journal *journal
	done    func() // called once, when the blob is complete

	mu       sync.Mutex
	open     bool
	err      error     // of reading back; final
	hash     hash.Hash // of the first hashed bytes
	hashed   int64
	there    ranges // written beyond hashed
	writing  ranges // being written by a goroutine
	hashing  bool   // a goroutine is hashing
	saved    int64  // last checkpoint in the journal
	ahead    []growingRange
	complete bool
}

var (
	errClosed  = errors.New("writer is closed")
	errOutside = errors.New("write outside the blob")
	errOverlap = errors.New("two writes of the same range at once")
	errWriting = errors.New("a write is in progress")
)

func (p *partial) prefix() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hashed
}

func (p *partial) missing() []span {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.there.missing(p.hashed, p.blob.Size)
}

// lacks returns how many bytes are missing.
func (p *partial) lacks() (n int64) {
	for _, s := range p.missing() {
		n += s.end - s.start
	}
	return n
}

// check returns an error when b must not be written at off now; p.mu is held.
func (p *partial) check(b []byte, off int64) error {
	switch {
	case !p.open || p.complete:
		return errClosed
	case p.err != nil:
		return p.err
	case off < 0 || int64(len(b)) > p.blob.Size-off:
		return errOutside
	case p.writing.overlap(off, off+int64(len(b))):
		return errOverlap
	}
	return nil
}

func (p *partial) writeAt(b []byte, off int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.check(b, off); err != nil {
		return 0, fmt.Errorf("write blob %s at %d: %w", p.blob.Digest, off, err)
	}
	end := off + int64(len(b))
	n := len(b)
	fresh := p.there.missing(max(off, p.hashed), end)
	p.writing.add(off, end)
	p.mu.Unlock()
	var err error
	for i, s := range fresh {
		var m int
		if m, err = p.file.WriteAt(b[s.start-off:s.end-off], p.blob.Offset+s.start); err != nil {
			n = int(s.start-off) + m
			fresh[i].end = s.start + int64(m)
			fresh = fresh[:i+1]
			break
		}
	}
	p.mu.Lock()
	p.writing.remove(off, end)
	for _, s := range fresh {
		p.there.add(s.start, s.end)
		if e := p.growAhead(b[s.start-off:s.end-off], s.start); err == nil {
			err = e
		}
	}
	if len(fresh) > 0 {
		// Pass only what was written now: the rest of b may differ from the file.
		s := fresh[0]
		p.drain(b[s.start-off:s.end-off], s.start)
	}
	if err != nil {
		return n, fmt.Errorf("write blob %s at %d: %w", p.blob.Digest, off, archive.NoSpace(err))
	}
	if p.err != nil {
		return 0, p.err
	}
	return n, nil
}

// drain hashes what follows the hashed prefix without a gap. One goroutine at a time does
// this, with p.mu released meanwhile; the others leave their ranges to it. b was just
// written at off: the part of it that comes next need not be read back.
func (p *partial) drain(b []byte, off int64) {
	if p.hashing {
		return
	}
	p.hashing = true
	for p.err == nil {
		end := p.there.from(p.hashed)
		if end == p.hashed {
			break
		}
		start := p.hashed
		stop := (start/checkpointEvery + 1) * checkpointEvery
		end = min(end, stop)
		p.mu.Unlock()
		err := p.hashRange(b, off, start, end)
		if err == nil && end == stop && end < p.blob.Size {
			err = p.journal.blobCheckpoint(p.blob, end, p.hash.Sum(nil))
		}
		p.mu.Lock()
		if p.err = err; err == nil {
			p.hashed = end
			p.there.remove(start, end)
			if end == stop {
				p.saved = end
			}
		}
	}
	p.hashing = false
}

// hashRange hashes bytes [start, end) of the blob, taking from b those that it holds.
func (p *partial) hashRange(b []byte, off, start, end int64) error {
	for start < end {
		if n := off + int64(len(b)); off <= start && start < n {
			upto := min(end, n)
			p.hash.Write(b[start-off : upto-off])
			start = upto
			continue
		}
		upto := end
		if start < off {
			upto = min(end, off)
		}
		if err := hashFile(p.hash, p.file, p.blob.Offset+start, upto-start); err != nil {
			return fmt.Errorf("read back blob %s: %w", p.blob.Digest, err)
		}
		start = upto
	}
	return nil
}

// hashFile hashes n bytes of a file.
func hashFile(h hash.Hash, f io.ReaderAt, off, n int64) error {
	buf := iox.Buffer()
	defer iox.Release(buf)
	for n > 0 {
		b := (*buf)[:min(n, iox.BufferSize)]
		if _, err := f.ReadAt(b, off); err != nil {
			return err
		}
		h.Write(b)
		off, n = off+int64(len(b)), n-int64(len(b))
	}
	return nil
}

func (p *partial) commit() error {
	p.mu.Lock()
	finished, err := p.finish()
	p.mu.Unlock()
	if finished {
		p.done() // without p.mu: the file locks itself first, then its blobs
	}
	return err
}

// finish checks the blob and records that it is complete; true when it was not before.
func (p *partial) finish() (bool, error) {
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("commit blob %s: %w", p.blob.Digest, err)
	}
	switch {
	case p.complete:
		return false, nil
	case !p.open:
		return fail(errClosed)
	case p.err != nil:
		return false, p.err
	case p.hashing || len(p.writing.list) > 0:
		return fail(errWriting)
	case p.hashed != p.blob.Size:
		return fail(fmt.Errorf("%d of %d bytes: %w", p.hashed, p.blob.Size, io.ErrUnexpectedEOF))
	}
	if got := digest.NewDigest(digest.SHA256, p.hash); got != p.blob.Digest {
		p.reset()
		err := p.journal.blobDropped(p.blob)
		return fail(errors.Join(&archive.DigestError{Want: p.blob.Digest, Got: got, Size: p.blob.Size}, err))
	}
	if err := p.journal.blobDone(p.blob); err != nil {
		return false, err
	}
	p.complete = true
	return true, nil
}

// reset drops all bytes of the blob.
func (p *partial) reset() {
	p.hash, p.hashed, p.saved, p.there, p.ahead = sha256.New(), 0, 0, ranges{}, nil
}

func (p *partial) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return nil
	}
	p.open = false
	if p.complete || p.err != nil || p.hashing {
		return nil // nothing to save, or a late WriteAt is still hashing
	}
	return p.save()
}

// abandon closes the writer of a blob whose file is about to be removed.
func (p *partial) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
}

// save records in the journal how much of the blob is written.
func (p *partial) save() error {
	if p.hashed > p.saved {
		if err := p.journal.blobCheckpoint(p.blob, p.hashed, p.hash.Sum(nil)); err != nil {
			return err
		}
		p.saved = p.hashed
	}
	for i := range p.ahead {
		if g := &p.ahead[i]; g.end > max(g.saved, p.hashed) {
			if err := p.journal.blobAhead(p.blob, g.aheadRange); err != nil {
				return err
			}
			g.saved = g.end
		}
	}
	return nil
}
