package layer

import (
	"io"

	"stowage/internal/iox"
)

// aheadBuffers is how many buffers of iox.BufferSize there are between the decoder and its
// reader: enough to keep both busy, 1 MiB per layer.
const aheadBuffers = 4

// readAhead is a reader whose goroutine fills buffers while the caller empties others, so
// that decoding runs in parallel with hashing and writing.
type readAhead struct {
	full    chan chunk    // filled buffers, in order; the last one carries the error
	free    chan struct{} // one token per buffer that may be filled
	quit    chan struct{}
	current chunk
	rest    []byte // of current, not yet read
	err     error  // that Read returns when rest is empty
}

type chunk struct {
	buf *[]byte
	n   int
	err error
}

// newReadAhead starts reading src. Close ends the goroutine; src must not be used before
// Close has returned.
func newReadAhead(src io.Reader) *readAhead {
	r := &readAhead{
		full: make(chan chunk, aheadBuffers),
		free: make(chan struct{}, aheadBuffers),
		quit: make(chan struct{}),
	}
	for range aheadBuffers {
		r.free <- struct{}{}
	}
	go r.fill(src)
	return r
}

// fill runs in the goroutine and ends with the first error of src.
func (r *readAhead) fill(src io.Reader) {
	defer close(r.full)
	for {
		select {
		case <-r.free:
		case <-r.quit:
			return
		}
		c := chunk{buf: iox.Buffer()}
		for c.n < len(*c.buf) && c.err == nil {
			var n int
			n, c.err = src.Read((*c.buf)[c.n:])
			c.n += n
		}
		r.full <- c // never blocks: full has room for every token
		if c.err != nil {
			return
		}
	}
}

// Read implements [io.Reader].
func (r *readAhead) Read(b []byte) (int, error) {
	for len(r.rest) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		r.recycle()
		c, ok := <-r.full
		if !ok {
			return 0, io.ErrClosedPipe
		}
		r.current, r.rest, r.err = c, (*c.buf)[:c.n], c.err
	}
	n := copy(b, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// recycle releases the current buffer.
func (r *readAhead) recycle() {
	if r.current.buf == nil {
		return
	}
	iox.Release(r.current.buf)
	r.current.buf = nil
	r.free <- struct{}{}
}

// Close ends the goroutine, waits for it and discards what was not read.
func (r *readAhead) Close() error {
	close(r.quit)
	for c := range r.full {
		iox.Release(c.buf)
	}
	r.rest, r.err = nil, io.ErrClosedPipe
	if r.current.buf != nil {
		iox.Release(r.current.buf)
		r.current.buf = nil
	}
	return nil
}
