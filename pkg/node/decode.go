package node

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// decoder opens the tar stream inside a layer blob. The stream is read to its
// end or closed early; Close releases what the decoder holds, not the blob.
type decoder interface {
	decode(blob io.Reader) (io.ReadCloser, error)
}

// magicDecoder tells the compression from the first bytes, as containerd does
// (pkg/archive/compression): media types are wrong too often.
type magicDecoder struct{}

const (
	// readAhead is what is read of a blob at once, in bytes.
	readAhead = 256 << 10
	// maxWindow is the largest window of a zstd frame that is decoded, in bytes:
	// what the zstd command accepts without being told otherwise.
	maxWindow = 128 << 20
)

var (
	gzipMagic = []byte{0x1f, 0x8b, 0x08}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// decode implements decoder for gzip, zstd and plain tar.
func (magicDecoder) decode(blob io.Reader) (io.ReadCloser, error) {
	// gzip's decoder reads byte by byte and is faster on a type it knows.
	br := bufio.NewReaderSize(blob, readAhead)
	head, err := br.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		return gzip.NewReader(br)
	case bytes.HasPrefix(head, zstdMagic) || skippable(head):
		// One goroutine, as layers are decoded side by side already.
		z, err := zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(br), nil
}

// skippable tells whether a zstd file opens with a skippable frame (RFC 8878,
// section 3.1.2), as those of estargz-like tools do.
func skippable(head []byte) bool {
	return len(head) == 4 && binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50
}
