package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
)

// A StreamReader reads a bundle as it arrives, once and without a copy: from a pipe, or
// out of a compressed file. It serves one goroutine.
//
// Everything but the layers stands first in a bundle, and has been checked as [Open]
// does when [OpenStream] returns. The layers follow in the order of [Reader.Blobs].
type StreamReader struct {
	head  *Reader
	walk  *headWalk
	next  int // in head.blobs: the entry that comes next
	first *tar.Header
	err   error
}

// streamName is what messages call the input.
const streamName = "the stream"

// OpenStream reads the documents of a bundle from r, plain or packed with gzip or zstd,
// up to the first layer. [ErrNoHead] for a tarball of another program, of which it then
// has read a part; what is wrong with the bytes has [ErrDamaged] in it.
//
// When ctx ends, all calls return its error, also those that wait for r; a Read of r that
// does not return then stays behind in a goroutine.
func OpenStream(ctx context.Context, r io.Reader) (*StreamReader, error) {
	return openStream(ctx, r, defaultLimits)
}

func openStream(ctx context.Context, r io.Reader, lim limits) (*StreamReader, error) {
	u, err := unpackStream(ctx, r, lim)
	if err != nil {
		return nil, err
	}
	s, _, err := headOfStream(u)
	if err != nil {
		u.dec.Close()
	}
	return s, err
}

// headOfStream reads the documents of a bundle of ours; ours tells, also of one that it
// refuses, whether it is one.
func headOfStream(u *unpacked) (s *StreamReader, ours bool, err error) {
	sp, err := newSpool(0)
	if err != nil {
		return nil, false, err
	}
	w := newHeadWalk(u, sp)
	head, err := w.read()
	ours = w.marks.Contents != ""
	if errors.Is(err, ErrNoHead) && w.layer == nil && ended(u) {
		err = w.damaged("", adviceCopy, fmt.Errorf("the tar ends before its layers: %w", io.ErrUnexpectedEOF))
	}
	if err != nil {
		sp.Close()
		return nil, ours, u.p.named(err)
	}
	head.packed, head.closer = u.p.kind, sp
	s = &StreamReader{head: head, walk: w, first: w.layer}
	for s.next < len(head.blobs) && head.blobs[s.next].Offset < head.head {
		s.next++
	}
	return s, true, nil
}

// ended tells whether nothing more comes.
func ended(r io.Reader) bool {
	n, err := io.ReadFull(r, make([]byte, 1))
	return n == 0 && err == io.EOF
}

// Head gives the bundle without its layers; see [OpenHead]. It is closed with the stream.
func (s *StreamReader) Head() *Reader { return s.head }

// Close frees what the reader holds. It does not close the source.
func (s *StreamReader) Close() error {
	return errors.Join(s.walk.in.dec.Close(), s.head.Close())
}

// Next gives the next layer and its bytes, which are valid until the next call; what was
// not read of the layer before is passed over, unchecked. The bytes end with an
// [ErrDamaged] instead of io.EOF when they are not what the digest promises. After the
// last layer Next checks the end of the tarball, as [Open] does, and returns io.EOF.
func (s *StreamReader) Next() (Blob, io.Reader, error) {
	if s.err != nil {
		return Blob{}, nil, s.err
	}
	if s.next == len(s.head.blobs) {
		if s.err = s.finish(); s.err == nil {
			s.err = io.EOF
		}
		return Blob{}, nil, s.err
	}
	b := s.head.blobs[s.next]
	if err := s.header(&b); err != nil {
		s.err = s.walk.in.p.named(err)
		return Blob{}, nil, s.err
	}
	s.next++
	return b, &layerReader{s: s, blob: b, left: b.Size, hash: b.Digest.Algorithm().Hash()}, nil
}

// header reads the header of a layer, which must be the one the documents promise.
func (s *StreamReader) header(b *Blob) error {
	w := s.walk
	h := s.first
	if s.first = nil; h == nil {
		var err error
		h, err = w.tr.Next()
		switch {
		case w.in.err != nil:
			return w.in.err
		case err == io.EOF:
			return s.damaged(b, fmt.Errorf("the tar ends before it: %w", io.ErrUnexpectedEOF))
		case err != nil:
			w.end = w.in.n
			return w.headerError(err)
		}
	}
	name, err := w.entryName(h)
	switch {
	case err != nil:
		return s.damaged(b, err)
	case name != blobEntry(b.Digest) || h.Size != b.Size || w.in.n != b.Offset:
		return s.damaged(b, fmt.Errorf("%s of %d bytes is in its place", printable(h.Name), h.Size))
	}
	return nil
}

// finish reads the rest.
func (s *StreamReader) finish() error { return s.walk.in.tail(s.walk.end, s.head.size) }

// tail reads the rest, which must be the end of a tar and nothing more: entries end at
// end, the tar with its zeros at size.
func (u *unpacked) tail(end, size int64) error {
	buf := iox.Buffer()
	defer iox.Release(buf)
	for {
		n, err := u.Read(*buf)
		start := u.n - int64(n)
		// What precedes the end blocks is the rest of the last layer, if nobody wanted it.
		skip := min(max(end-start, 0), int64(n))
		if i := bytes.IndexFunc((*buf)[skip:n], func(c rune) bool { return c != 0 }); i >= 0 {
			return ending(start+skip+int64(i), errors.New("not zero after the end of the tar"))
		}
		switch {
		case u.n > size+u.p.lim.tail:
			return ending(u.n, fmt.Errorf("more than %d bytes after the end of the tar", u.p.lim.tail))
		case err == io.EOF && u.n < size:
			return ending(u.n, fmt.Errorf("the end of the tar is missing: %w", io.ErrUnexpectedEOF))
		case err == io.EOF:
			return nil
		case err != nil:
			return u.p.named(err)
		}
	}
}

func ending(off int64, err error) error {
	return &DamagedError{File: streamName, Offset: off, Err: err, Advice: adviceCopy}
}

func (s *StreamReader) damaged(b *Blob, err error) error {
	return &DamagedError{File: streamName, Entry: blobEntry(b.Digest), Offset: b.Offset, Err: err, Advice: adviceCopy}
}

// layerReader gives the bytes of one layer and compares them with its digest.
type layerReader struct {
	s    *StreamReader
	blob Blob
	left int64
	hash hash.Hash
}

// Read implements [io.Reader].
func (l *layerReader) Read(p []byte) (int, error) {
	if l.left == 0 {
		if got := digest.NewDigest(l.blob.Digest.Algorithm(), l.hash); got != l.blob.Digest {
			return 0, l.s.damaged(&l.blob, &DigestError{Want: l.blob.Digest, Got: got, Size: l.blob.Size})
		}
		return 0, io.EOF
	}
	n, err := l.s.walk.tr.Read(p)
	l.hash.Write(p[:n])
	l.left -= int64(n)
	switch {
	case l.s.walk.in.err != nil:
		return n, l.s.walk.in.p.named(l.s.walk.in.err)
	case err == io.ErrUnexpectedEOF, err == io.EOF && l.left > 0:
		return n, l.s.damaged(&l.blob, fmt.Errorf("cut after %d of %d bytes: %w", l.blob.Size-l.left, l.blob.Size, io.ErrUnexpectedEOF))
	case err == io.EOF:
		err = nil
	}
	return n, err
}

// unpackStream looks at how the stream begins and unpacks it.
func unpackStream(ctx context.Context, r io.Reader, lim limits) (*unpacked, error) {
	p := &packedFile{path: streamName, lim: lim, opening: opening{stop: ctx.Err}}
	u := &unpacked{p: p}
	src := bufio.NewReaderSize(&streamSource{ctx: ctx, r: r, u: u, read: make(chan streamRead, 1)}, iox.BufferSize)
	magic, _ := src.Peek(4) // a stream that is shorter is refused below
	if u.src.err != nil {
		return nil, fmt.Errorf("read %s: %w", streamName, u.src.err)
	}
	if len(magic) == 0 {
		return nil, &DamagedError{File: streamName, Err: fmt.Errorf("nothing came: %w", io.ErrUnexpectedEOF), Advice: adviceCopy}
	}
	var err error
	if p.kind, err = sniff(bytes.NewReader(magic)); err != nil {
		return nil, err
	}
	if p.kind == Plain {
		u.dec = io.NopCloser(src)
		return u, nil
	}
	if u.dec, err = p.kind.decoder(src); err != nil {
		return nil, u.verdict(err)
	}
	return u, nil
}

// streamSource reads in a goroutine, so that a sender that stalls does not outlive ctx.
type streamSource struct {
	ctx  context.Context
	r    io.Reader
	u    *unpacked // learns errors of the system and counts what came
	buf  []byte
	read chan streamRead
}

type streamRead struct {
	n   int
	err error
}

// Read implements [io.Reader].
func (s *streamSource) Read(p []byte) (int, error) {
	if s.buf == nil {
		s.buf = make([]byte, iox.BufferSize)
	}
	buf := s.buf[:min(len(p), len(s.buf))]
	go func() {
		n, err := s.r.Read(buf)
		s.read <- streamRead{n, err}
	}()
	select {
	case got := <-s.read:
		copy(p, buf[:got.n])
		s.u.src.n += int64(got.n)
		if got.err != nil && got.err != io.EOF {
			s.u.src.err = got.err
		}
		return got.n, got.err
	case <-s.ctx.Done():
		s.u.src.err = s.ctx.Err()
		return 0, s.u.src.err
	}
}
