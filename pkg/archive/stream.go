package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
)

// A Stream reads a tarball as it arrives, once: from a pipe, or out of a compressed file.
// It serves one goroutine.
//
//	s, err := archive.OpenStream(ctx, os.Stdin)
//	for {
//		e, err := s.Next() // the next layer; io.EOF after the last
//		...
//	}
//	r, err := s.Reader() // the bundle without its layers
//
// A native stream is a bundle of this module. All but its layers comes first and has been
// checked, as [Open] does, when OpenStream returns: Reader returns it at once, and the
// entries are the layers in the order of [Reader.Blobs].
//
// Any other stream is a tarball of another program: docker save in both of its forms, ctr's
// and nerdctl's export, skopeo's and podman's archives, a layout packed with tar. They name
// their images anywhere, mostly at the end. The entries are all that may be a layer, and
// Reader returns the bundle once Next has returned [io.EOF].
type Stream struct {
	form    streamForm
	in      *unpacked
	tmp     *tempFile
	native  bool
	id      digest.Digest
	current *Entry
	err     error
}

// streamForm is what native streams and others do differently.
type streamForm interface {
	// next returns the next entry; io.EOF when the tarball has ended as it must.
	next() (*Entry, error)
	// leave is called before next with the entry that next returned last.
	leave(*Entry) error
	// reader returns the bundle without its layers.
	reader() (*Reader, error)
}

const (
	// streamName is what messages call a stream without a name.
	streamName = "the stream"

	// maxStart is what is read of a stream until it shows whether it is native, in bytes:
	// the three files that may precede the first blob, with their headers.
	maxStart = 3*MaxMetadata + 1<<20
)

// OpenStream reads the start of a bundle or of another program's tarball from r, plain or
// compressed with gzip or zstd. An error about the bytes wraps [ErrDamaged]; damage in
// another program's tarball is usually found only at its end. OpenStream returns
// [ErrNoMetadata] when the start does not identify the tarball.
//
// When ctx ends, all calls return its error, also those that wait for r; a Read of r that
// does not return then stays behind in a goroutine.
//
// If r also has the methods ReadAt, Size and Name, as a file does that is not a pipe, messages
// have its name, and a compressed bundle that was cut is refused before its first layer.
func OpenStream(ctx context.Context, r io.Reader) (*Stream, error) {
	return openStream(ctx, r, defaultLimits)
}

// namedFile is a stream that is a file.
type namedFile interface {
	io.ReaderAt
	Size() int64
	Name() string
}

func openStream(ctx context.Context, r io.Reader, lim limits) (*Stream, error) {
	u, err := unpackStream(ctx, r, lim)
	if err != nil {
		return nil, err
	}
	start := &recorder{src: u.dec}
	u.dec = start
	s, native, err := openNative(u)
	if err == nil {
		start.stop()
		return s, nil
	}
	if u.err == nil && start.complete() && mayBeOther(err, native) {
		u.dec, u.n = start.replay(), 0
		s, err = openOther(u, lim)
	}
	if err != nil {
		u.dec.Close()
		return nil, err
	}
	return s, nil
}

// mayBeOther reports whether a stream that failed to open as a native one may be a tarball
// of another program.
func mayBeOther(err error, native bool) bool {
	return errors.Is(err, ErrNoMetadata) || errors.Is(err, ErrDamaged) && !errors.Is(err, io.ErrUnexpectedEOF) && !native
}

// Native reports whether the stream is a bundle of this module.
func (s *Stream) Native() bool { return s.native }

// ID identifies the stream, so that a second try can resume with what the first one kept:
// the identity of the bundle, or else the digest of the stream's start.
func (s *Stream) ID() digest.Digest { return s.id }

// Window returns the memory that decompressing the stream takes for the window of zstd, at
// most and in bytes.
func (s *Stream) Window() int64 {
	if s.in.p.kind != Zstd {
		return 0
	}
	return int64(s.in.p.window())
}

// Next returns the next entry that may be a layer. It passes over what was not read of
// the one before. After the last entry it checks the end of the tarball, as [Open] does,
// and returns io.EOF.
func (s *Stream) Next() (*Entry, error) {
	if s.err == nil && s.current != nil {
		s.err = s.form.leave(s.current)
		s.current = nil
	}
	if s.err == nil {
		s.current, s.err = s.form.next()
	}
	return s.current, s.err
}

// Reader returns the bundle without its layers, checked as [Open] checks a file. It is
// valid until the stream is closed. Reading a layer from it is an [ErrMetadataOnly], except
// for layers of a few bytes. Unless the stream is native, Reader may be called once Next
// has returned io.EOF.
func (s *Stream) Reader() (*Reader, error) { return s.form.reader() }

// Close frees what the stream holds. It does not close the source.
func (s *Stream) Close() error {
	return errors.Join(s.in.dec.Close(), s.tmp.Close())
}

// nativeStream is the form of a bundle of this module.
type nativeStream struct {
	metadata *Reader
	walk     *metadataWalk
	at       int         // in metadata.blobs: the next entry
	first    *tar.Header // of the first layer, until next has returned it
}

// openNative reads the metadata of a native bundle. native is also true for a bundle that
// is refused, if its index.json has been read.
func openNative(u *unpacked) (s *Stream, native bool, err error) {
	tmp, err := newTempFile(0)
	if err != nil {
		return nil, false, err
	}
	w := newMetadataWalk(u, tmp)
	r, err := w.read()
	native = w.annotations[annotationContents] != ""
	if errors.Is(err, ErrNoMetadata) && w.layer == nil && ended(u) {
		err = w.damaged("", adviceCopy, fmt.Errorf("the tar ends before its layers: %w", io.ErrUnexpectedEOF))
	}
	if err == nil {
		r.packed = u.p.kind
		err = u.p.checkCut(r.size)
	}
	if err != nil {
		tmp.Close()
		return nil, native, u.p.named(err)
	}
	n := &nativeStream{metadata: r, walk: w, first: w.layer}
	for n.at < len(r.blobs) && r.blobs[n.at].Offset < r.metadata {
		n.at++
	}
	return &Stream{form: n, in: u, tmp: tmp, native: true, id: r.id}, true, nil
}

// ended reports whether r is at its end.
func ended(r io.Reader) bool {
	n, err := io.ReadFull(r, make([]byte, 1))
	return n == 0 && err == io.EOF
}

func (n *nativeStream) reader() (*Reader, error) { return n.metadata, nil }

// leave does nothing: what was not read of a layer stays unchecked.
func (n *nativeStream) leave(*Entry) error { return nil }

func (n *nativeStream) next() (*Entry, error) {
	if n.at == len(n.metadata.blobs) {
		if err := n.walk.in.tail(n.walk.end, n.metadata.size); err != nil {
			return nil, err
		}
		return nil, io.EOF
	}
	b := &n.metadata.blobs[n.at]
	h, err := n.header(b)
	if err != nil {
		return nil, n.walk.in.p.named(err)
	}
	n.at++
	return n.walk.entry(h), nil
}

// header reads the header of a layer. It must be the one that the metadata names.
func (n *nativeStream) header(b *Blob) (*tar.Header, error) {
	w := n.walk
	h := n.first
	if n.first = nil; h == nil {
		var err error
		h, err = w.tr.Next()
		switch {
		case w.in.err != nil:
			return nil, w.in.err
		case err == io.EOF:
			return nil, n.damaged(b, fmt.Errorf("the tar ends before it: %w", io.ErrUnexpectedEOF))
		case err != nil:
			w.end = w.in.n
			return nil, w.headerError(err)
		}
	}
	name, err := entryName(h)
	switch {
	case err != nil:
		return nil, n.damaged(b, err)
	case name != blobEntry(b.Digest) || h.Size != b.Size || w.in.n != b.Offset:
		return nil, n.damaged(b, fmt.Errorf("%s of %d bytes is in its place", printable(h.Name), h.Size))
	}
	return h, nil
}

func (n *nativeStream) damaged(b *Blob, err error) error {
	return &DamagedError{File: n.walk.in.p.path, Entry: blobEntry(b.Digest), Offset: b.Offset, Err: err, Advice: adviceCopy}
}

// StreamID returns the [Stream.ID] that a plain tarball of another program has as a
// stream, or "" for a Reader of anything else than a plain file.
func (r *Reader) StreamID() (digest.Digest, error) {
	if r.packed != Plain || r.dir || r.metadata > 0 {
		return "", nil
	}
	start := make([]byte, idLength)
	n, err := r.src.ReadAt(start, 0)
	if err != nil && err != io.EOF {
		return "", r.readError(err)
	}
	return digest.FromBytes(start[:n]), nil
}

// recorder keeps the first bytes that are read through it, so that they can be read again.
type recorder struct {
	src  io.ReadCloser
	seen []byte
	off  bool
}

// Read implements [io.Reader].
func (r *recorder) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if r.off {
		return n, err
	}
	if r.seen = append(r.seen, p[:n]...); len(r.seen) > maxStart {
		r.stop()
	}
	return n, err
}

// Close implements [io.Closer].
func (r *recorder) Close() error { return r.src.Close() }

func (r *recorder) stop() { r.seen, r.off = nil, true }

// complete reports whether all that was read can be read again.
func (r *recorder) complete() bool { return !r.off }

// replay returns a reader that starts over.
func (r *recorder) replay() io.ReadCloser { return &replay{again: r.seen, src: r.src} }

// replay reads bytes that were read before, then the rest of the source.
type replay struct {
	again []byte
	src   io.ReadCloser
}

// Read implements [io.Reader].
func (r *replay) Read(p []byte) (int, error) {
	if len(r.again) == 0 {
		r.again = nil
		return r.src.Read(p)
	}
	n := copy(p, r.again)
	r.again = r.again[n:]
	return n, nil
}

// Close implements [io.Closer].
func (r *replay) Close() error { return r.src.Close() }
