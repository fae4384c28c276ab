package registrytest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/opencontainers/go-digest"
)

// Stored deflate blocks (RFC 1951 section 3.2.4) hold at most 65535 bytes each, after a
// header of five bytes. With a fixed block size the position of any byte can be computed,
// so a layer of many GiB needs neither memory nor a file.
const (
	storedBlock  = 65535
	storedHeader = 5
)

// gzipHeader is a member header without name and time (RFC 1952 section 2.3).
var gzipHeader = []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff}

// storedBody is the deflate stream that holds src in stored blocks.
type storedBody struct {
	src content
}

// newStoredGzip returns the gzip of src and the digest of src itself. It reads src once,
// for the checksum at the end.
func newStoredGzip(src content) (content, digest.Digest, error) {
	crc, h := crc32.NewIEEE(), sha256.New()
	if err := copyContent(io.MultiWriter(crc, h), src); err != nil {
		return nil, "", err
	}
	tail := binary.LittleEndian.AppendUint32(nil, crc.Sum32())
	tail = binary.LittleEndian.AppendUint32(tail, uint32(src.Size())) // modulo 2^32 (RFC 1952 section 2.3.1)
	z := &concat{}
	z.append(bytes.NewReader(gzipHeader))
	z.append(&storedBody{src})
	z.append(bytes.NewReader(tail))
	return z, digest.NewDigest(digest.SHA256, h), nil
}

// blocks returns the number of blocks; an empty stream has one.
func (s *storedBody) blocks() int64 {
	return max(1, (s.src.Size()+storedBlock-1)/storedBlock)
}

// Size returns the length in bytes.
func (s *storedBody) Size() int64 { return s.src.Size() + s.blocks()*storedHeader }

// header returns the header of block i: final flag, length and its complement.
func (s *storedBody) header(i int64) []byte {
	n := uint16(min(storedBlock, s.src.Size()-i*storedBlock))
	b := []byte{0}
	if i == s.blocks()-1 {
		b[0] = 1
	}
	b = binary.LittleEndian.AppendUint16(b, n)
	return binary.LittleEndian.AppendUint16(b, ^n)
}

// ReadAt reads the headers and the source in turn.
func (s *storedBody) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) && off < s.Size() {
		i, at := off/(storedBlock+storedHeader), off%(storedBlock+storedHeader)
		var m int
		if at < storedHeader {
			m = copy(p[n:], s.header(i)[at:])
		} else {
			from := i*storedBlock + at - storedHeader
			want := min(int64(len(p)-n), storedBlock+storedHeader-at, s.src.Size()-from)
			var err error
			if m, err = s.src.ReadAt(p[n:int64(n)+want], from); int64(m) < want {
				return n + m, err
			}
		}
		n += m
		off += int64(m)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
