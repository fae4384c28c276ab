package registrytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// Epoch is the time of everything the registry makes.
var Epoch = time.Date(2024, time.January, 1, 0, 0, 0, 0, time.UTC)

// Compression is how a layer is packed.
type Compression int

// The kinds of compression (image-spec 1.1, "Image Layer Filesystem Changeset").
const (
	Gzip       Compression = iota // deflated; a file from 1 MiB on
	Zstd                          // a file from 1 MiB on
	None                          // plain tar, made on the fly at any size
	GzipStored                    // gzip without deflating (RFC 1951 section 3.2.4), made on the fly at any size
)

// File is an entry of a layer's tar.
type File struct {
	Name   string
	Type   byte   // a type flag of archive/tar; 0: a directory if Name ends in "/", else a regular file
	Mode   int64  // permission bits; 0: 0755 for directories, 0644 otherwise
	Body   []byte // of a regular file; nil: Size bytes made up
	Size   int64
	Fill   Fill
	Link   string // target of links
	Xattrs map[string]string
	UID    int
	GID    int
	Major  int64 // of devices
	Minor  int64
}

// Layer describes a layer. It is builtLayer the first time an image with it is added, and must
// not change from then on. Images that hold the same *Layer share it.
type Layer struct {
	Files       []File
	Compression Compression
	Seed        uint64 // of made-up content
}

// builtLayer is a layer as a blob.
type builtLayer struct {
	content content
	digest  digest.Digest
	diffID  digest.Digest // of the tar
}

// layer builds l, once.
func (s *store) layer(l *Layer) (builtLayer, error) {
	s.mu.Lock()
	b, ok := s.layers[l]
	s.mu.Unlock()
	if ok {
		return b, nil
	}
	b, err := s.build(l)
	if err != nil {
		return builtLayer{}, fmt.Errorf("build layer: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.layers[l] = b
	return b, nil
}

// build makes the tar of l and packs it.
func (s *store) build(l *Layer) (builtLayer, error) {
	t, err := tarball(l)
	if err != nil {
		return builtLayer{}, err
	}
	switch l.Compression {
	case Gzip, Zstd:
		return s.pack(t, l.Compression)
	case GzipStored:
		return s.stored(t)
	default:
		return s.plain(t)
	}
}

// plain is an uncompressed layer, whose digest is its diffID.
func (s *store) plain(t content) (builtLayer, error) {
	c, d, err := s.hashContent(t)
	return builtLayer{c, d, d}, err
}

// stored is a layer in stored gzip blocks.
func (s *store) stored(t content) (builtLayer, error) {
	z, diffID, err := newStoredGzip(t)
	if err != nil {
		return builtLayer{}, err
	}
	c, d, err := s.hashContent(z)
	return builtLayer{c, d, diffID}, err
}

// hashContent hashes content that is made on the fly and keeps it in memory if it is small.
func (s *store) hashContent(c content) (content, digest.Digest, error) {
	h := sha256.New()
	var w io.Writer = h
	var keep bytes.Buffer
	if c.Size() < inMemory {
		w = io.MultiWriter(h, &keep)
	}
	if err := copyContent(w, c); err != nil {
		return nil, "", err
	}
	if c.Size() < inMemory {
		c = bytes.NewReader(keep.Bytes())
	}
	return c, digest.NewDigest(digest.SHA256, h), nil
}

// pack compresses the tar t into memory or a file.
func (s *store) pack(t content, c Compression) (builtLayer, error) {
	sp, packed, plain := s.newBlobWriter(), sha256.New(), sha256.New()
	z, err := compressor(io.MultiWriter(sp, packed), c)
	if err != nil {
		return builtLayer{}, err
	}
	if err := copyContent(io.MultiWriter(z, plain), t); err != nil {
		return builtLayer{}, err
	}
	if err := z.Close(); err != nil {
		return builtLayer{}, err
	}
	body, err := sp.content()
	return builtLayer{body, digest.NewDigest(digest.SHA256, packed), digest.NewDigest(digest.SHA256, plain)}, err
}

// compressor opens the packing end of c. Both kinds give the same bytes on every machine.
func compressor(w io.Writer, c Compression) (io.WriteCloser, error) {
	if c == Zstd {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	}
	return gzip.NewWriter(w), nil
}

// copyContent writes all of c to w.
func copyContent(w io.Writer, c content) error {
	_, err := io.CopyBuffer(w, struct{ io.Reader }{io.NewSectionReader(c, 0, c.Size())}, make([]byte, 2*maxChunk))
	return err
}

// tarball lays out the tar of a layer; bodies are not copied.
func tarball(l *Layer) (content, error) {
	t := &concat{}
	for i, f := range l.Files {
		head, err := tarHeader(f)
		if err != nil {
			return nil, fmt.Errorf("tar header of %q: %w", f.Name, err)
		}
		t.append(bytes.NewReader(head))
		var body content = bytes.NewReader(f.Body)
		if f.Body == nil && f.Size > 0 {
			body = &filler{f.Fill, seedOf(l.Seed, i), f.Size}
		}
		t.append(body)
		t.append(zeros((512 - body.Size()%512) % 512))
	}
	t.append(zeros(1024)) // POSIX.1-1988: two zero blocks end an archive
	return t, nil
}

// zeros is n bytes of padding.
func zeros(n int64) content { return bytes.NewReader(make([]byte, n)) }

// tarHeader is the header block of an entry, with its PAX records where it needs any.
func tarHeader(f File) ([]byte, error) {
	h := &tar.Header{
		Name: f.Name, Typeflag: f.Type, Mode: f.Mode, Linkname: f.Link, Size: f.Size,
		Uid: f.UID, Gid: f.GID, Devmajor: f.Major, Devminor: f.Minor, ModTime: Epoch,
	}
	if f.Body != nil {
		h.Size = int64(len(f.Body))
	}
	if h.Typeflag == 0 {
		h.Typeflag = tar.TypeReg
		if strings.HasSuffix(f.Name, "/") {
			h.Typeflag = tar.TypeDir
		}
	}
	if h.Mode == 0 {
		h.Mode = 0o644
		if h.Typeflag == tar.TypeDir {
			h.Mode = 0o755
		}
	}
	for name, value := range f.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+name] = value
	}
	var head bytes.Buffer
	// A writer for each entry: it writes the header at once and never asks for the body.
	if err := tar.NewWriter(&head).WriteHeader(h); err != nil {
		return nil, err
	}
	return head.Bytes(), nil
}
