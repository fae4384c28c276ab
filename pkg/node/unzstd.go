package node

import (
	"bufio"
	"io"
	"math"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// readAhead is what is read of a zstd blob at once, in bytes; the gzip decoder has
	// its own buffer.
	readAhead = 256 << 10
	// maxWindow is the largest window of a zstd frame that is decoded, in bytes:
	// what the zstd command accepts without being told otherwise.
	maxWindow = 128 << 20
	// keptWindow is the largest window of a decoder that is used again, in bytes: that
	// of the zstd command's level 19. A larger one is given up with its layer.
	keptWindow = 8 << 20
)

// zstdDecoder is a decoder with its buffer. The next layer uses both again: made anew for
// each of many small layers, tables, window and buffer are most of the memory there is.
type zstdDecoder struct {
	buf *bufio.Reader
	*zstd.Decoder
}

var zstdPool sync.Pool

// zstdReader is a decoder at work.
type zstdReader struct {
	d    *zstdDecoder // nil once it is closed
	keep bool         // give it back
}

// newZstdReader opens a blob; Close gives the decoder back.
func newZstdReader(blob io.Reader) (io.ReadCloser, error) {
	d, ok := zstdPool.Get().(*zstdDecoder)
	if !ok {
		// One goroutine, as layers are decoded side by side already.
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		d = &zstdDecoder{bufio.NewReaderSize(nil, readAhead), z}
	}
	d.buf.Reset(blob)
	head, _ := d.buf.Peek(zstd.HeaderMaxSize) // what is wrong here the decoder meets as well
	keep := windowOf(head) <= keptWindow
	if err := d.Reset(d.buf); err != nil {
		return nil, err
	}
	return &zstdReader{d, keep}, nil
}

// windowOf is the window of the frame that begins so: layers have one frame, or several
// alike. What it cannot be told of is taken as large.
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
