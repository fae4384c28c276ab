package writer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// ErrOrder is returned when a blob of a stream is opened before an earlier one.
var ErrOrder = errors.New("blobs of a stream are opened in the order of the file")

// DefaultWindow is the default of [StreamOptions].Window.
const DefaultWindow = 16 << 20

// StreamOptions changes a stream. The zero value works.
type StreamOptions struct {
	// Window is how many bytes may be buffered ahead of the write position. 0 means
	// [DefaultWindow]; less than 1 MiB is raised to it.
	Window int64
}

// A Stream writes the bytes that a [File] would, but to a pipe: in order, once, with a
// bounded window of bytes that arrived ahead. Blobs are opened in the order of
// [Stream.Missing]; several may be open, and several goroutines may write to one, as with
// a File.
//
// The digest of a blob is known and checked when its last byte has been written, before
// anything else follows. When it is wrong, or writing fails, or the stream is closed
// early, the tar ends there, without its end blocks, so that every reader refuses it; all
// later calls return that error.
type Stream struct {
	w      io.Writer
	plan   *archive.Plan
	docs   archive.MetadataReader
	window int64

	mu       sync.Mutex
	moved    *sync.Cond // pos or err changed
	pos      int64      // of the file: written so far
	cur      int        // the blob being written; len(blobs) after the last
	opened   int        // blobs before this were opened once
	parts    map[int]*streamBlob
	there    ranges           // bytes ahead of pos, in the file's offsets
	chunks   map[int64][]byte // their memory, by offset / iox.BufferSize
	spare    [][]byte
	hash     hash.Hash // of the current blob
	flushing bool
	err      error
}

var (
	errStreamClosed = errors.New("stream is closed")
	errStreamDone   = errors.New("stream is finished")
)

// NewStream returns a stream that writes the bundle of p to w. It writes at once all that
// precedes the first config or layer. docs must have the manifests and indexes of p.
func NewStream(w io.Writer, p *archive.Plan, docs archive.MetadataReader, opts StreamOptions) (*Stream, error) {
	s := &Stream{
		w: w, plan: p, docs: docs, window: max(opts.Window, 4*iox.BufferSize),
		parts: map[int]*streamBlob{}, chunks: map[int64][]byte{},
	}
	if opts.Window == 0 {
		s.window = DefaultWindow
	}
	s.moved = sync.NewCond(&s.mu)
	first, err := p.Preamble()
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(first); err != nil {
		return nil, fmt.Errorf("write bundle: %w", err)
	}
	s.pos = int64(len(first))
	if err := s.next(0); err != nil {
		return nil, err
	}
	s.opened = s.cur
	return s, nil
}

// next proceeds to blob i: it writes its header, and its content if docs has it. It is
// called by the goroutine that flushes, or before the stream is shared.
func (s *Stream) next(i int) error {
	for ; ; i++ {
		gap, off, err := s.plan.Gap(i)
		if err != nil {
			return err
		}
		if i == len(s.plan.Blobs()) {
			s.set(i, s.pos)
			return nil // Commit writes what ends the file
		}
		if _, err := s.w.Write(gap); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
		blob := &s.plan.Blobs()[i]
		s.set(i, off+int64(len(gap)))
		if !blob.Manifest && blob.Size > 0 {
			s.hash = sha256.New()
			return nil
		}
		if blob.Size == 0 {
			continue
		}
		raw, err := contentOf(s.docs, blob)
		if err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
		if _, err := s.w.Write(raw); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
		s.set(i, blob.Offset+blob.Size)
	}
}

// set updates cur and pos, which other goroutines read.
func (s *Stream) set(cur int, pos int64) {
	s.mu.Lock()
	s.cur, s.pos = cur, pos
	s.mu.Unlock()
}

// contentOf returns the bytes of a manifest, checked.
func contentOf(docs archive.MetadataReader, b *archive.Blob) ([]byte, error) {
	raw, err := docs.Metadata(b.Digest)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(raw); got != b.Digest {
		return nil, &archive.DigestError{Want: b.Digest, Got: got, Size: int64(len(raw))}
	}
	return raw, nil
}

// Missing returns the blobs that are not written yet, in the order in which they must be
// opened.
func (s *Stream) Missing() []archive.Blob {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []archive.Blob
	for i := s.cur; i < len(s.plan.Blobs()); i++ {
		if b := s.plan.Blobs()[i]; !b.Manifest && b.Size > 0 {
			out = append(out, b)
		}
	}
	return out
}

// Blob opens a blob for writing. [ErrOrder] when one before it has not been opened yet: a
// write to this one might then wait forever.
func (s *Stream) Blob(d digest.Digest) (*Blob, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.plan.Find(d)
	if err != nil {
		return nil, err
	}
	for s.opened < i && s.internal(s.opened) {
		s.opened++
	}
	switch {
	case s.err != nil:
		return nil, s.err
	case i > s.opened:
		return nil, fmt.Errorf("blob %s: %w", d, ErrOrder)
	}
	s.opened = max(s.opened, i+1)
	p := s.parts[i]
	if p == nil {
		p = &streamBlob{s: s, i: i, blob: &s.plan.Blobs()[i]}
		s.parts[i] = p
	}
	if p.open {
		return nil, fmt.Errorf("blob %s has a writer already", d)
	}
	p.open = true
	return &Blob{to: p}, nil
}

// internal reports whether the stream writes blob i itself.
func (s *Stream) internal(i int) bool {
	return s.plan.Blobs()[i].Manifest || s.plan.Blobs()[i].Size == 0
}

// Commit finishes the bundle. [ErrIncomplete] when a blob has not been written.
func (s *Stream) Commit() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	if s.cur < len(s.plan.Blobs()) {
		return fmt.Errorf("finish bundle: %w: the next is %s", ErrIncomplete, s.plan.Blobs()[s.cur].Digest)
	}
	end, _, err := s.plan.Gap(len(s.plan.Blobs()))
	if err == nil {
		_, err = s.w.Write(end)
	}
	if err != nil {
		s.err = fmt.Errorf("write bundle: %w", err)
		return s.err
	}
	s.err = errStreamDone
	return nil
}

// Close ends the stream and unblocks the goroutines that wait in one of its writers. It
// does not close the pipe. After Commit it does nothing.
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = errStreamClosed
	}
	s.moved.Broadcast()
	return nil
}

// streamBlob is one blob of a stream.
type streamBlob struct {
	s    *Stream
	i    int
	blob *archive.Blob
	open bool
}

func (p *streamBlob) prefix() int64 {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	from := max(p.blob.Offset, min(p.s.pos, p.blob.Offset+p.blob.Size))
	return min(p.s.there.from(from), p.blob.Offset+p.blob.Size) - p.blob.Offset
}

func (p *streamBlob) missing() []span {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	start := max(p.blob.Offset, p.s.pos)
	out := p.s.there.missing(start, p.blob.Offset+p.blob.Size)
	for i := range out {
		out[i].start -= p.blob.Offset
		out[i].end -= p.blob.Offset
	}
	return out
}

func (p *streamBlob) writeAt(b []byte, off int64) (int, error) {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if off < 0 || int64(len(b)) > p.blob.Size-off {
		return 0, fmt.Errorf("write blob %s at %d: %w", p.blob.Digest, off, errOutside)
	}
	n := 0
	for n < len(b) {
		if s.err != nil {
			return n, s.err
		}
		if !p.open {
			return n, fmt.Errorf("write blob %s: %w", p.blob.Digest, errClosed)
		}
		at := p.blob.Offset + off + int64(n)
		room := s.pos + s.window - at
		if room <= 0 {
			s.moved.Wait()
			continue
		}
		m := int(min(room, int64(len(b)-n)))
		s.buffer(b[n:n+m], at)
		n += m
		s.flush()
	}
	return n, s.err
}

// buffer copies bytes into the window, except those that are there already.
func (s *Stream) buffer(b []byte, at int64) {
	end := at + int64(len(b))
	for _, m := range s.there.missing(max(at, s.pos), max(end, s.pos)) {
		for x := m.start; x < m.end; {
			chunk := s.chunk(x / iox.BufferSize)
			x += int64(copy(chunk[x%iox.BufferSize:], b[x-at:m.end-at]))
		}
		s.there.add(m.start, m.end)
	}
}

func (s *Stream) chunk(n int64) []byte {
	c := s.chunks[n]
	if c == nil {
		if k := len(s.spare); k > 0 {
			c, s.spare = s.spare[k-1], s.spare[:k-1]
		} else {
			c = make([]byte, iox.BufferSize)
		}
		s.chunks[n] = c
	}
	return c
}

// flush writes what follows pos without a gap. One goroutine at a time does this, with
// s.mu released while it writes; the others leave their bytes to it.
func (s *Stream) flush() {
	if s.flushing {
		return
	}
	s.flushing = true
	for s.err == nil && s.cur < len(s.plan.Blobs()) {
		end := min(s.there.from(s.pos), (s.pos/iox.BufferSize+1)*iox.BufferSize)
		blob := &s.plan.Blobs()[s.cur]
		last := blob.Offset + blob.Size
		if end = min(end, last); end == s.pos {
			break
		}
		n := s.pos / iox.BufferSize
		b := s.chunks[n][s.pos-n*iox.BufferSize : end-n*iox.BufferSize]
		s.mu.Unlock()
		err := s.put(b, end == last)
		s.mu.Lock()
		s.there.remove(0, end)
		s.release(end)
		if s.pos = max(s.pos, end); err != nil {
			s.err = err
		}
		s.moved.Broadcast()
	}
	s.flushing = false
}

// put writes bytes of the current blob. After the last it checks the blob and proceeds to
// the next.
func (s *Stream) put(b []byte, last bool) error {
	s.hash.Write(b)
	if _, err := s.w.Write(b); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	if !last {
		return nil
	}
	blob := &s.plan.Blobs()[s.cur]
	if got := digest.NewDigest(digest.SHA256, s.hash); got != blob.Digest {
		return fmt.Errorf("write bundle: blob %s: %w", blob.Digest, &archive.DigestError{Want: blob.Digest, Got: got, Size: blob.Size})
	}
	return s.next(s.cur + 1)
}

// release frees the memory below end.
func (s *Stream) release(end int64) {
	for n, c := range s.chunks {
		if (n+1)*iox.BufferSize <= max(end, s.pos) {
			delete(s.chunks, n)
			s.spare = append(s.spare, c)
		}
	}
}

// commit waits until the blob is written.
func (p *streamBlob) commit() error {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.cur > p.i:
			return nil
		case s.err != nil:
			return s.err
		case !p.open:
			return fmt.Errorf("commit blob %s: %w", p.blob.Digest, errClosed)
		}
		start := max(p.blob.Offset, s.pos)
		if len(s.there.missing(start, p.blob.Offset+p.blob.Size)) > 0 {
			return fmt.Errorf("commit blob %s: %w", p.blob.Digest, io.ErrUnexpectedEOF)
		}
		s.moved.Wait()
	}
}

func (p *streamBlob) close() error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	p.open = false
	return nil
}
