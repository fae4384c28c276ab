package node

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"

	"stowage/pkg/node/internal/inflate"
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
	// readAhead is what is read of a zstd blob at once, in bytes; the gzip decoder has
	// its own buffer.
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
	head := make([]byte, 4)
	n, err := io.ReadFull(blob, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	head = head[:n]
	blob = io.MultiReader(bytes.NewReader(head), blob)
	switch {
	case bytes.HasPrefix(head, gzipMagic):
		return inflate.NewReader(blob)
	case bytes.HasPrefix(head, zstdMagic) || skippable(head):
		// One goroutine, as layers are decoded side by side already.
		z, err := zstd.NewReader(bufio.NewReaderSize(blob, readAhead), zstd.WithDecoderConcurrency(1),
			zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return z.IOReadCloser(), nil
	}
	return io.NopCloser(blob), nil
}

// skippable tells whether a zstd file opens with a skippable frame (RFC 8878,
// section 3.1.2), as those of estargz-like tools do.
func skippable(head []byte) bool {
	return len(head) == 4 && binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50
}
