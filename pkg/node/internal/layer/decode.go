package layer

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"

	"stowage/pkg/node/internal/layer/inflate"
)

var (
	gzipMagic = []byte{0x1f, 0x8b, 0x08}
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}
)

// decode returns a decoder of the tar stream in a blob. It detects the compression by the
// first bytes, as containerd does (pkg/archive/compression): media types are often wrong.
// It waits for the memory that the decoder needs. Close releases the decoder and does not
// close the blob.
func decode(ctx context.Context, blob io.Reader, memory *Memory) (decoder, error) {
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
		r, err := newZstdReader(ctx, blob, memory)
		return readDecoder{r}, err
	}
	return readDecoder{io.NopCloser(blob)}, nil
}

// skippable reports whether a zstd file begins with a skippable frame (RFC 8878, section
// 3.1.2), as those of estargz-like tools do.
func skippable(head []byte) bool {
	return len(head) == 4 && binary.LittleEndian.Uint32(head)&^0xf == 0x184d2a50
}
