package layer

import (
	"bufio"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdBuffer is the size of the input buffer, in bytes. The gzip decoder has its own.
	zstdBuffer = 256 << 10
	// maxWindow is the largest window that is decoded, in bytes: the default limit of the
	// zstd command.
	maxWindow = 128 << 20
	// keptWindow is the largest window of a decoder that is reused, in bytes: that of the
	// zstd command's level 19.
	keptWindow = 8 << 20
)

// zstdDecoder is a decoder with its buffer. Both are reused for the next layer: with many
// small layers, their tables, windows and buffers would be most of the memory in use.
type zstdDecoder struct {
	buf *bufio.Reader
	*zstd.Decoder
}

var zstdPool sync.Pool

// zstdReader is a decoder in use.
type zstdReader struct {
	d    *zstdDecoder // nil after Close
	keep bool         // return it to the pool
}

// newZstdReader returns a reader of what blob decodes to. Close returns the decoder to the
// pool.
func newZstdReader(blob io.Reader) (io.ReadCloser, error) {
	d, ok := zstdPool.Get().(*zstdDecoder)
	if !ok {
		// One goroutine: layers are decoded in parallel already.
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		d = &zstdDecoder{bufio.NewReaderSize(nil, zstdBuffer), z}
	}
	d.buf.Reset(blob)
	head, _ := d.buf.Peek(zstd.HeaderMaxSize) // the decoder reports the error as well
	keep := windowOf(head) <= keptWindow
	if err := d.Reset(d.buf); err != nil {
		return nil, err
	}
	return &zstdReader{d, keep}, nil
}

// windowOf returns the window of the frame that begins with head, in bytes: a layer has one
// frame, or several with the same window. An unknown window counts as large.
func windowOf(head []byte) uint64 {
	var h zstd.Header
	switch err := h.Decode(head); {
	case err != nil || h.Skippable:
		return math.MaxUint64
	case h.SingleSegment:
		return h.FrameContentSize
	}
	return h.WindowSize
}

// Read implements [io.Reader].
func (r *zstdReader) Read(p []byte) (int, error) {
	if r.d == nil {
		return 0, zstd.ErrDecoderClosed
	}
	return r.d.Read(p)
}

// Close implements [io.Closer].
func (r *zstdReader) Close() error {
	d := r.d
	if d == nil {
		return nil
	}
	r.d = nil
	d.buf.Reset(nil)
	if !r.keep || d.Reset(nil) != nil {
		d.Close()
		return nil
	}
	zstdPool.Put(d)
	return nil
}
