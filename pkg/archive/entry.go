package archive

import (
	"archive/tar"
	"fmt"
	"hash"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
)

// An Entry is a file of a [Stream] that is or may be a layer. Its bytes are valid until the
// next call of [Stream.Next].
type Entry struct {
	Name   string        // in the tarball
	Digest digest.Digest // that the name states, or ""
	Size   int64         // in bytes

	t       *tarStream
	off     int64 // of the content in the tarball
	checked bool
	taken   bool   // Read was called
	again   []byte // read already, to be returned again
	left    int64
	hash    hash.Hash
	sum     digest.Digest
}

// Checked reports whether the bytes are compared with Digest: the name is that of a blob
// in an OCI image layout. Other names are hints.
func (e *Entry) Checked() bool { return e.checked }

// Sum returns the digest of an entry that was read to its end, or "".
func (e *Entry) Sum() digest.Digest { return e.sum }

// Read implements [io.Reader]. The bytes of an entry that is [Entry.Checked] end with an
// [ErrDamaged] instead of io.EOF when they do not match its digest.
func (e *Entry) Read(p []byte) (int, error) {
	e.taken = true
	if len(e.again) > 0 {
		n := copy(p, e.again)
		e.again = e.again[n:]
		return n, nil
	}
	return e.read(p)
}

// read reads from the stream, after what is in again.
func (e *Entry) read(p []byte) (int, error) {
	if e.left == 0 {
		e.sum = digest.NewDigest(digest.SHA256, e.hash)
		if e.checked && e.sum != e.Digest {
			return 0, e.damaged(&DigestError{Want: e.Digest, Got: e.sum, Size: e.Size})
		}
		return 0, io.EOF
	}
	n, err := e.t.tr.Read(p)
	e.hash.Write(p[:n])
	e.left -= int64(n)
	switch {
	case e.t.in.err != nil:
		return n, e.t.in.p.named(e.t.in.err)
	case err == io.ErrUnexpectedEOF, err == io.EOF && e.left > 0:
		return n, e.damaged(fmt.Errorf("cut after %d of %d bytes: %w", e.Size-e.left, e.Size, io.ErrUnexpectedEOF))
	case err == io.EOF:
		err = nil
	}
	return n, err
}

func (e *Entry) damaged(err error) error {
	name := printable(e.Name)
	if e.checked {
		name = blobEntry(e.Digest)
	}
	return &DamagedError{File: e.t.in.p.path, Entry: name, Offset: e.off, Err: err, Advice: adviceCopy}
}

// tarStream reads a tarball as it comes out of a decoder. It stores small entries in a
// temporary file.
type tarStream struct {
	in  *unpacked
	tr  *tar.Reader
	tmp *tempFile
}

func newTarStream(u *unpacked, tmp *tempFile) *tarStream {
	return &tarStream{in: u, tr: tar.NewReader(u), tmp: tmp}
}

// entry returns the entry of a header that was just read.
func (t *tarStream) entry(h *tar.Header) *Entry {
	e := &Entry{Name: h.Name, Size: h.Size, t: t, off: t.in.n, left: h.Size, hash: digest.SHA256.Hash()}
	e.Digest, e.checked = digestOfName(h.Name)
	return e
}

// keep stores an entry at off of the temporary file and returns its content, of which
// start has been read already.
func (t *tarStream) keep(e *Entry, start []byte, off int64) ([]byte, error) {
	rest, err := iox.ReadExactly(iox.ReaderFunc(e.read), int(e.Size)-len(start))
	if err == nil {
		_, err = e.read(nil) // checks the digest
	}
	if err != io.EOF {
		return nil, err
	}
	raw := append(start, rest...)
	_, err = t.tmp.WriteAt(raw, off)
	return raw, err
}

// digestOfName reads a digest out of the name of an entry. It is checked when the name is
// that of a blob in an OCI layout. Other names have it as a hint, as skopeo and crane write
// it: "HEX.tar", "sha256:HEX".
func digestOfName(name string) (d digest.Digest, checked bool) {
	name = path.Clean(name)
	hex, checked := strings.CutPrefix(name, blobDir)
	if !checked {
		hex, _, _ = strings.Cut(strings.TrimPrefix(name, "sha256:"), ".")
	}
	if d = digest.NewDigestFromEncoded(digest.SHA256, hex); d.Validate() != nil {
		return "", false
	}
	return d, checked
}
