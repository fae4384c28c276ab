package layer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime/debug"
	"sync"

	"github.com/klauspost/compress/zstd"
)

const (
	// zstdBuffer is the size of the input buffer, in bytes. The gzip decoder has its own.
	zstdBuffer = 256 << 10
	// unsharedWindow is the largest window that is decoded without a [Memory], in bytes: the
	// default limit of the zstd command.
	unsharedWindow = 128 << 20
	// keptWindow is the largest window of a decoder that is reused, in bytes: that of the
	// zstd command's level 19. Every layer gets as much, as a later frame may need it.
	keptWindow = 8 << 20
)

// zstdDecoder is a decoder with its buffer. Both are reused for the next layer: with many
// small layers, their tables, windows and buffers would be most of the memory in use.
type zstdDecoder struct {
	buf           *bufio.Reader
	*zstd.Decoder // nil if the last one had a large window
}

var zstdPool sync.Pool

// zstdReader is a decoder in use.
type zstdReader struct {
	d      *zstdDecoder // nil after Close
	memory *Memory
	window int64 // bytes acquired from memory
}

// newZstdDecoder returns a decoder for frames with windows up to the given size. It has one
// goroutine: layers are decoded in parallel already.
func newZstdDecoder(window int64) (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(uint64(window)))
}

// newZstdReader returns a reader of what blob decodes to. It waits for the memory that the
// window of the first frame needs; a later frame that needs more is an [ErrMemory]. Close
// returns the memory, and the decoder to the pool.
func newZstdReader(ctx context.Context, blob io.Reader, memory *Memory) (_ io.ReadCloser, err error) {
	d, ok := zstdPool.Get().(*zstdDecoder)
	if !ok {
		d = &zstdDecoder{buf: bufio.NewReaderSize(nil, zstdBuffer)}
	}
	d.buf.Reset(blob)
	head, _ := d.buf.Peek(zstd.HeaderMaxSize) // the decoder reports the error as well
	window := max(windowOf(head), keptWindow)
	switch {
	case window > zstd.MaxWindowSize: // containerd refuses it as well
		return nil, zstd.ErrWindowSizeExceeded
	case window > memory.maxWindow():
		return nil, fmt.Errorf("a window of %d MiB: %w", window>>20, ErrMemory)
	}
	if err := memory.acquire(ctx, window); err != nil {
		return nil, err
	}
	r := &zstdReader{d, memory, window}
	if d.Decoder == nil || window > keptWindow {
		d.Decoder, err = newZstdDecoder(window)
	}
	if err == nil {
		err = d.Reset(d.buf)
	}
	if err != nil {
		memory.release(window)
		return nil, err
	}
	return r, nil
}

// windowOf returns the window of the frame that begins with head, in bytes, and 0 if that is
// no frame with content: a layer has one frame, or several with the same window.
func windowOf(head []byte) int64 {
	var h zstd.Header
	window := uint64(0)
	switch err := h.Decode(head); {
	case err != nil || h.Skippable:
	case h.SingleSegment:
		window = h.FrameContentSize
	default:
		window = h.WindowSize
	}
	return int64(min(window, math.MaxInt64))
}

// Read implements [io.Reader].
func (r *zstdReader) Read(p []byte) (int, error) {
	if r.d == nil {
		return 0, zstd.ErrDecoderClosed
	}
	n, err := r.d.Read(p)
	if errors.Is(err, zstd.ErrWindowSizeExceeded) || errors.Is(err, zstd.ErrDecoderSizeExceeded) {
		err = fmt.Errorf("%w: %w", ErrMemory, err)
	}
	return n, err
}

// Close implements [io.Closer].
func (r *zstdReader) Close() error {
	d := r.d
	if d == nil {
		return nil
	}
	r.d = nil
	d.buf.Reset(nil)
	defer r.memory.release(r.window)
	if r.window > keptWindow {
		d.Close()
		d.Decoder = nil
		debug.FreeOSMemory() // before the next layer gets as much
	} else if d.Reset(nil) != nil {
		d.Close()
		return nil
	}
	zstdPool.Put(d)
	return nil
}
