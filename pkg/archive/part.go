package archive

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
)

// markEvery is how many bytes of each range of a blob a kill may cost. Marks stand at
// its multiples.
const markEvery = 4 << 20

// A BlobWriter takes the bytes of one blob, at offsets counted from its start. It may
// be used from many goroutines. Bytes are hashed as they come, in order; those that come
// ahead are read back and hashed when the gap before them closes.
//
// The first write of a byte counts: a range written again is skipped, so that a retry
// may overlap what is there. Two goroutines must not write the same range at once.
type BlobWriter struct{ sink blobSink }

// blobSink is a blob of a draft or of a stream.
type blobSink interface {
	writeAt(p []byte, off int64) (int, error)
	prefix() int64
	holes() []Range
	commit() error
	close() error
}

// A Range is a run of bytes from Start up to but not including End.
type Range struct{ Start, End int64 }

// WriteAt implements [io.WriterAt]. Nothing may be written outside the blob. On a
// stream it waits until the bytes fit into the window.
func (w *BlobWriter) WriteAt(p []byte, off int64) (int, error) { return w.sink.writeAt(p, off) }

// Prefix gives how many bytes from the start are there and hashed.
func (w *BlobWriter) Prefix() int64 { return w.sink.prefix() }

// Holes gives the ranges still to come, ascending, and nothing when all are there.
func (w *BlobWriter) Holes() []Range { return w.sink.holes() }

// Commit ends the blob: its size and digest are checked. After a [*DigestError] nothing
// of it is kept, [BlobWriter.Prefix] is 0, and the writer may be used to begin again.
// Missing bytes are an [io.ErrUnexpectedEOF]. No WriteAt may be under way.
func (w *BlobWriter) Commit() error { return w.sink.commit() }

// Close gives the writer up; without Commit, the prefix is kept for a later one.
func (w *BlobWriter) Close() error { return w.sink.close() }

// part is a blob of a draft that is not whole yet. It outlives its writers.
type part struct {
	blob    *Blob
	file    *os.File
	journal *journal
	done    func() // called once, when the blob is whole

	mu      sync.Mutex
	open    bool
	err     error     // of reading back; ends the part
	hash    hash.Hash // of the first hashed bytes
	hashed  int64
	there   spans // beyond hashed
	under   spans // being written by someone
	hashing bool  // someone is hashing
	marked  int64 // last mark in the journal
	islands []growing
	whole   bool
}

var (
	errClosed  = errors.New("writer is closed")
	errOutside = errors.New("write outside the blob")
	errOverlap = errors.New("two writes of the same range at once")
	errWriting = errors.New("a write is still under way")
)

func (p *part) prefix() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hashed
}

func (p *part) holes() []Range {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.there.holes(p.hashed, p.blob.Size)
}

// check tells whether a write makes sense now.
func (p *part) check(b []byte, off int64) error {
	switch {
	case !p.open || p.whole:
		return errClosed
	case p.err != nil:
		return p.err
	case off < 0 || int64(len(b)) > p.blob.Size-off:
		return errOutside
	case p.under.overlap(off, off+int64(len(b))):
		return errOverlap
	}
	return nil
}

func (p *part) writeAt(b []byte, off int64) (int, error) {
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
	fresh := p.there.holes(max(off, p.hashed), end)
	p.under.add(off, end)
	p.mu.Unlock()
	var err error
	for i, h := range fresh {
		var m int
		if m, err = p.file.WriteAt(b[h.Start-off:h.End-off], p.blob.Offset+h.Start); err != nil {
			n = int(h.Start-off) + m
			fresh[i].End = h.Start + int64(m)
			fresh = fresh[:i+1]
			break
		}
	}
	p.mu.Lock()
	p.under.remove(off, end)
	for _, h := range fresh {
		p.there.add(h.Start, h.End)
		if e := p.grow(b[h.Start-off:h.End-off], h.Start); err == nil {
			err = e
		}
	}
	if len(fresh) > 0 {
		// Of b only what was written now: the rest of it may differ from what is there.
		h := fresh[0]
		p.drain(b[h.Start-off:h.End-off], h.Start)
	}
	if err != nil {
		return n, fmt.Errorf("write blob %s at %d: %w", p.blob.Digest, off, noSpace(err))
	}
	if p.err != nil {
		return 0, p.err
	}
	return n, nil
}

// drain hashes whatever follows the hashed prefix without a gap. One goroutine at a time
// does, with p.mu released meanwhile; the others leave their ranges to it. b was just
// written at off: the part of it that comes next need not be read back.
func (p *part) drain(b []byte, off int64) {
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
		stop := (start/markEvery + 1) * markEvery
		end = min(end, stop)
		p.mu.Unlock()
		err := p.hashRange(b, off, start, end)
		if err == nil && end == stop && end < p.blob.Size {
			err = p.journal.blobMark(p.blob, end, p.hash.Sum(nil))
		}
		p.mu.Lock()
		if p.err = err; err == nil {
			p.hashed = end
			p.there.remove(start, end)
			if end == stop {
				p.marked = end
			}
		}
	}
	p.hashing = false
}

// hashRange hashes bytes [start, end) of the blob, from b as far as they are in it.
func (p *part) hashRange(b []byte, off, start, end int64) error {
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

func (p *part) commit() error {
	p.mu.Lock()
	finished, err := p.finish()
	p.mu.Unlock()
	if finished {
		p.done() // without the lock: the draft locks itself, then its parts
	}
	return err
}

// finish checks the blob and notes that it is whole; true when it was not before.
func (p *part) finish() (bool, error) {
	fail := func(err error) (bool, error) {
		return false, fmt.Errorf("commit blob %s: %w", p.blob.Digest, err)
	}
	switch {
	case p.whole:
		return false, nil
	case !p.open:
		return fail(errClosed)
	case p.err != nil:
		return false, p.err
	case p.hashing || len(p.under.list) > 0:
		return fail(errWriting)
	case p.hashed != p.blob.Size:
		return fail(fmt.Errorf("%d of %d bytes: %w", p.hashed, p.blob.Size, io.ErrUnexpectedEOF))
	}
	if got := digest.NewDigest(digest.SHA256, p.hash); got != p.blob.Digest {
		p.reset()
		err := p.journal.blobDropped(p.blob)
		return fail(errors.Join(&DigestError{Want: p.blob.Digest, Got: got, Size: p.blob.Size}, err))
	}
	if err := p.journal.blobDone(p.blob); err != nil {
		return false, err
	}
	p.whole = true
	return true, nil
}

// reset forgets all bytes of the blob.
func (p *part) reset() {
	p.hash, p.hashed, p.marked, p.there, p.islands = sha256.New(), 0, 0, spans{}, nil
}

func (p *part) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.open {
		return nil
	}
	p.open = false
	if p.whole || p.err != nil || p.hashing {
		return nil // nothing to remember, or a late writer is still at it
	}
	return p.remember()
}

// abandon closes the writer of a blob whose file goes away.
func (p *part) abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
}

// remember tells the journal how far the blob is.
func (p *part) remember() error {
	if p.hashed > p.marked {
		if err := p.journal.blobMark(p.blob, p.hashed, p.hash.Sum(nil)); err != nil {
			return err
		}
		p.marked = p.hashed
	}
	for i := range p.islands {
		if g := &p.islands[i]; g.end > max(g.saved, p.hashed) {
			if err := p.journal.blobIsland(p.blob, g.island); err != nil {
				return err
			}
			g.saved = g.end
		}
	}
	return nil
}
