package archive

import (
	"archive/tar"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
)

// A ForeignStream reads a tarball of another program as it arrives, once: docker save in
// both of its forms, ctr's and nerdctl's export, skopeo's and podman's archives, a layout
// packed with tar. They name their images anywhere, mostly at the end, so that nothing
// can be said of an entry when it comes. It serves one goroutine.
//
//	for {
//		b, err := s.Next() // all that may be a layer; io.EOF after the last entry
//		...
//	}
//	r, err := s.Bundle() // now checked as [Open] checks a file
//
// What may be a manifest or a config is kept in a temporary file without a name, within
// [MaxKept]. Layers are handed out and forgotten.
type ForeignStream struct {
	in    *unpacked
	tr    *tar.Reader
	spool *spool
	lim   limits
	id    digest.Digest

	entries []foreignEntry
	kept    int64 // bytes in spool
	names   int64 // bytes of the names in entries
	out     int64 // bytes handed out: the next one's place
	end     int64 // of the last entry, padding included
	current *ForeignBlob
	bundle  *Reader
	err     error
}

const (
	// MaxKept bounds the documents of a foreign stream together, in bytes.
	MaxKept = 128 << 20

	// maxForeignNames bounds the names of its entries together, in bytes.
	maxForeignNames = 32 << 20

	// smallEntry is what is kept whatever it is: layers without files are as small.
	smallEntry = 1 << 10

	// layersFrom is the place given to the first layer: no document lies behind it.
	layersFrom = 1 << 60

	// startOfStream is how much of a stream tells it from others, in bytes: the headers and
	// contents of some entries, of which an image never seen before has other ones.
	startOfStream = 32 << 10
)

// foreignEntry is what is remembered of an entry.
type foreignEntry struct {
	name, link string
	kind       byte
	at         extent        // in the spool, or behind layersFrom
	digest     digest.Digest // of a file
	packed     Compression
}

// A ForeignBlob is an entry that may be a layer, and the bytes of it. They are valid until
// the next call of Next. What ends with io.EOF has been hashed; where the name is that of
// a blob in an OCI layout, it ends with an [ErrDamaged] unless it fits.
type ForeignBlob struct {
	Name   string        // of the entry
	Digest digest.Digest // what the name says, "" when it says nothing
	Size   int64         // in bytes

	s     *ForeignStream
	named bool   // by an OCI layout: the name is a promise
	taken bool   // Read was called from outside
	again []byte // read already, to be given again
	left  int64
	hash  hash.Hash
	sum   digest.Digest
}

// newForeignStream begins with what in gives.
func newForeignStream(in *unpacked, lim limits) (*ForeignStream, error) {
	spool, err := newSpool(0)
	if err != nil {
		return nil, err
	}
	head := make([]byte, startOfStream)
	n, err := io.ReadFull(in.dec, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		spool.Close()
		return nil, in.p.named(in.verdict(err))
	}
	in.dec = &replay{again: head[:n], src: in.dec}
	return &ForeignStream{in: in, tr: tar.NewReader(in), spool: spool, lim: lim, id: digest.FromBytes(head[:n])}, nil
}

// ID tells the stream from others, for whoever wants to go on with it when it comes
// again: the digest of its beginning.
func (s *ForeignStream) ID() digest.Digest { return s.id }

// StreamID is [ForeignStream.ID] of a plain file when it comes as a stream, "" for what
// is no plain tarball.
func (r *Reader) StreamID() (digest.Digest, error) {
	if r.packed != Plain || r.folder || r.head > 0 {
		return "", nil
	}
	head := make([]byte, startOfStream)
	n, err := r.src.ReadAt(head, 0)
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read %s: %w", r.Name(), err)
	}
	return digest.FromBytes(head[:n]), nil
}

// Close frees what the stream holds, and so what [ForeignStream.Bundle] gave. It does not
// close the source.
func (s *ForeignStream) Close() error {
	return errors.Join(s.in.dec.Close(), s.spool.Close())
}

// Next gives the next entry that may be a layer. What was not read of the one before is
// passed over; it is hashed all the same, but for one that an OCI layout names. After the
// last entry Next checks the end of the tarball, as [Open] does, and returns io.EOF.
func (s *ForeignStream) Next() (*ForeignBlob, error) {
	if s.err == nil {
		s.err = s.finishEntry()
	}
	for s.err == nil {
		h, err := s.tr.Next()
		switch {
		case s.in.err != nil:
			s.err = s.in.p.named(s.in.err)
		case err == io.EOF:
			s.err = s.finish()
		case err != nil:
			w := entryWalk{end: s.in.n, n: len(s.entries)}
			s.err = s.in.p.named(w.headerError(err))
		default:
			if s.err = s.take(h); s.current != nil && s.err == nil {
				return s.current, nil
			}
		}
	}
	return nil, s.err
}

// take looks at an entry. It sets current for one that is not kept.
func (s *ForeignStream) take(h *tar.Header) error {
	e := foreignEntry{name: h.Name, link: h.Linkname, kind: h.Typeflag}
	data := s.in.n
	s.names += int64(len(e.name) + len(e.link))
	switch {
	case len(s.entries) >= s.lim.entries:
		return s.damaged("", adviceLimit, fmt.Errorf("more than %d entries", s.lim.entries))
	case s.names > maxForeignNames:
		return s.damaged("", adviceLimit, fmt.Errorf("more than %d bytes of names", maxForeignNames))
	case sparse(h):
		return s.damaged(h.Name, adviceForeign, errors.New("sparse files are not allowed"))
	case h.Size > s.lim.blob:
		return s.damaged(h.Name, adviceLimit, fmt.Errorf("%d bytes, the limit is %d", h.Size, s.lim.blob))
	}
	if h.Typeflag != tar.TypeReg {
		s.end = data
		s.entries = append(s.entries, e)
		return nil
	}
	s.end = data + padded(h.Size)
	b := &ForeignBlob{Name: h.Name, Size: h.Size, s: s, left: h.Size, hash: digest.SHA256.Hash()}
	b.Digest, b.named = promised(h.Name)
	head, err := iox.ReadExactly(source{b}, int(min(h.Size, smallEntry)))
	if err != nil {
		return err
	}
	if e.packed, err = sniff(strings.NewReader(string(head))); err != nil {
		return err
	}
	s.entries = append(s.entries, e)
	if h.Size <= smallEntry || h.Size <= s.lim.document && looksJSON(head) {
		return s.keep(b, head)
	}
	s.entries[len(s.entries)-1].at = extent{layersFrom + s.out, h.Size}
	s.out += padded(h.Size)
	b.again, s.current = head, b
	return nil
}

// keep puts a document into the spool.
func (s *ForeignStream) keep(b *ForeignBlob, head []byte) error {
	e := &s.entries[len(s.entries)-1]
	e.at = extent{s.kept, b.Size}
	if s.kept += b.Size; s.kept > MaxKept {
		return s.damaged(b.Name, adviceLimit, fmt.Errorf("more than %d bytes of documents", MaxKept))
	}
	rest, err := iox.ReadExactly(source{b}, int(b.Size)-len(head))
	if err == nil {
		_, err = b.read(nil) // the digest
	}
	if err != io.EOF {
		return err
	}
	if _, err := s.spool.WriteAt(append(head, rest...), e.at.off); err != nil {
		return err
	}
	e.digest = b.sum
	return nil
}

// finishEntry makes sure that the digest of the last entry is known.
func (s *ForeignStream) finishEntry() error {
	b := s.current
	if s.current = nil; b == nil {
		return nil
	}
	if b.named && !b.taken {
		b.sum = b.Digest // not wanted: somebody has it, by this digest
	}
	if b.sum == "" {
		if _, err := io.Copy(io.Discard, b); err != nil {
			return err
		}
	}
	s.entries[len(s.entries)-1].digest = b.sum
	return nil
}

// finish reads the rest, which must be the end of a tar and nothing more.
func (s *ForeignStream) finish() error {
	if err := s.in.tail(s.end, s.end+endBlocks); err != nil {
		return err
	}
	return io.EOF
}

func (s *ForeignStream) damaged(entry, advice string, err error) error {
	if entry != "" {
		entry = printable(entry)
	}
	return &DamagedError{File: streamName, Entry: entry, Offset: s.in.n, Err: err, Advice: advice}
}

// Sum gives the digest of a blob that was read to its end, or "".
func (b *ForeignBlob) Sum() digest.Digest { return b.sum }

// Named tells whether the digest comes from an OCI layout: then the bytes are compared with
// it. Other names are hints.
func (b *ForeignBlob) Named() bool { return b.named }

// Read implements [io.Reader].
func (b *ForeignBlob) Read(p []byte) (int, error) {
	b.taken = true
	if len(b.again) > 0 {
		n := copy(p, b.again)
		b.again = b.again[n:]
		return n, nil
	}
	return b.read(p)
}

// source reads what has not been read at all.
type source struct{ *ForeignBlob }

// Read implements [io.Reader].
func (s source) Read(p []byte) (int, error) { return s.read(p) }

// read takes bytes out of the stream.
func (b *ForeignBlob) read(p []byte) (int, error) {
	if b.left == 0 {
		b.sum = digest.NewDigest(digest.SHA256, b.hash)
		if b.named && b.sum != b.Digest {
			return 0, b.s.damaged(b.Name, adviceCopy, &DigestError{Want: b.Digest, Got: b.sum, Size: b.Size})
		}
		return 0, io.EOF
	}
	n, err := b.s.tr.Read(p)
	b.hash.Write(p[:n])
	b.left -= int64(n)
	switch {
	case b.s.in.err != nil:
		return n, b.s.in.p.named(b.s.in.err)
	case err == io.ErrUnexpectedEOF, err == io.EOF && b.left > 0:
		return n, b.s.damaged(b.Name, adviceCopy, fmt.Errorf("cut after %d of %d bytes: %w", b.Size-b.left, b.Size, io.ErrUnexpectedEOF))
	case err == io.EOF:
		err = nil
	}
	return n, err
}

// promised reads the digest out of a name: of a blob in an OCI layout, which must fit, or
// the name without its ending, as skopeo and crane write it: "HEX.tar", "sha256:HEX".
func promised(name string) (d digest.Digest, named bool) {
	name = path.Clean(name)
	hex, named := strings.CutPrefix(name, blobDir)
	if !named {
		hex, _, _ = strings.Cut(strings.TrimPrefix(name, "sha256:"), ".")
	}
	if d = digest.NewDigestFromEncoded(digest.SHA256, hex); d.Validate() != nil {
		return "", false
	}
	return d, named
}

// sparse tells whether the tar keeps only parts of a file.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}

// looksJSON tells whether a file begins as a manifest or a config does.
func looksJSON(head []byte) bool {
	text := strings.TrimLeft(string(head), " \t\r\n\ufeff")
	return text != "" && (text[0] == '{' || text[0] == '[')
}
