package node

import (
	"io"
	"sync"
)

// The buffers between a decoder and its reader: enough to keep both busy, few
// enough to forget about (1 MiB for each layer at work).
const (
	pipeBuffers = 4
	pipeBuffer  = 256 << 10
)

var pipePool = sync.Pool{New: func() any { return new([pipeBuffer]byte) }}

// pipe reads ahead: a goroutine fills buffers while the caller empties others,
// so that decoding runs beside hashing and writing files.
type pipe struct {
	full    chan chunk    // filled buffers, in order; the last one carries the error
	free    chan struct{} // one token for each buffer that may be filled
	quit    chan struct{}
	current chunk
	rest    []byte // of current, not yet read
	err     error  // what Read gives when rest is empty
}

type chunk struct {
	buf *[pipeBuffer]byte
	n   int
	err error
}

// newPipe starts reading src. Close ends the goroutine; src must not be touched
// before Close has returned.
func newPipe(src io.Reader) *pipe {
	p := &pipe{
		full: make(chan chunk, pipeBuffers),
		free: make(chan struct{}, pipeBuffers),
		quit: make(chan struct{}),
	}
	for range pipeBuffers {
		p.free <- struct{}{}
	}
	go p.fill(src)
	return p
}

// fill is the goroutine; it ends with the first error of src.
func (p *pipe) fill(src io.Reader) {
	defer close(p.full)
	for {
		select {
		case <-p.free:
		case <-p.quit:
			return
		}
		c := chunk{buf: pipePool.Get().(*[pipeBuffer]byte)}
		for c.n < pipeBuffer && c.err == nil {
			var n int
			n, c.err = src.Read(c.buf[c.n:])
			c.n += n
		}
		p.full <- c // never blocks: there are as many places as tokens
		if c.err != nil {
			return
		}
	}
}

// Read implements [io.Reader].
func (p *pipe) Read(b []byte) (int, error) {
	for len(p.rest) == 0 {
		if p.err != nil {
			return 0, p.err
		}
		p.recycle()
		c, ok := <-p.full
		if !ok {
			return 0, io.ErrClosedPipe
		}
		p.current, p.rest, p.err = c, c.buf[:c.n], c.err
	}
	n := copy(b, p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// recycle gives the current buffer back.
func (p *pipe) recycle() {
	if p.current.buf == nil {
		return
	}
	pipePool.Put(p.current.buf)
	p.current.buf = nil
	p.free <- struct{}{}
}

// Close ends the goroutine, waits for it and drops what was not read.
func (p *pipe) Close() error {
	close(p.quit)
	for c := range p.full {
		pipePool.Put(c.buf)
	}
	p.rest, p.err = nil, io.ErrClosedPipe
	if p.current.buf != nil {
		pipePool.Put(p.current.buf)
		p.current.buf = nil
	}
	return nil
}
