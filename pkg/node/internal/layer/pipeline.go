package layer

import (
	"context"
	"io"
	"sync"

	"stowage/internal/iox"
	"stowage/pkg/node/internal/layer/inflate"
)

// partsAhead is how many buffers a layer has at most, 1 MiB together: each of the three
// stages works on one, and the last one keeps them from waiting for each other.
const partsAhead = 4

// buffers are reused for all layers. A small layer uses one.
var buffers = sync.Pool{New: func() any { return new(inflate.Buffer) }}

// bufferPool is what [sync.Pool] implements.
type bufferPool interface {
	Get() any
	Put(any)
}

// decoder decodes a blob part by part.
type decoder interface {
	// Next decodes the next part into the buffer and returns it as a slice of that. An error
	// or [io.EOF] comes with the last part.
	Next(*inflate.Buffer) ([]byte, error)
	Close() error
}

// readDecoder is a decoder that reads.
type readDecoder struct{ io.ReadCloser }

// Next implements [decoder].
func (d readDecoder) Next(b *inflate.Buffer) (part []byte, err error) {
	n := 0
	for n < iox.BufferSize && err == nil {
		var m int
		m, err = d.Read(b[n:iox.BufferSize])
		n += m
	}
	return b[:n], err
}

// pipeline is a layer on its way through three stages: one goroutine decodes it, the second
// one hashes it, and the caller of Next extracts it. They hand buffers on, so no byte is
// copied between them.
type pipeline struct {
	ctx  context.Context
	stop context.CancelFunc
	pool bufferPool

	// The channels have room for all buffers, so sending never blocks.
	free    chan *inflate.Buffer
	decoded chan part // closed after the last part, or once ctx has ended
	hashed  chan part // the same

	current *inflate.Buffer // of the part that Next returned
	count   func(int) error
	err     error // that Next returned
}

// part is a part of the tar stream in its buffer.
type part struct {
	buf  *inflate.Buffer
	data []byte
	err  error // that comes after data
}

// newPipeline starts decoding and hashing. Next calls count with the size of every part, and
// fails if that does. Close ends the goroutines; the decoder and the hash must not be used
// before, but for the hash after Next has returned [io.EOF].
func newPipeline(ctx context.Context, d decoder, h io.Writer, count func(int) error, pool bufferPool) *pipeline {
	p := &pipeline{
		pool:    pool,
		free:    make(chan *inflate.Buffer, partsAhead),
		decoded: make(chan part, partsAhead),
		hashed:  make(chan part, partsAhead),
		count:   count,
	}
	p.ctx, p.stop = context.WithCancel(ctx)
	go p.decode(d)
	go p.hash(h)
	return p
}

// decode runs in a goroutine and ends with the first error of the decoder.
func (p *pipeline) decode(d decoder) {
	defer close(p.decoded)
	var err error
	for taken := 0; err == nil; {
		var buf *inflate.Buffer
		select {
		case buf = <-p.free:
		default:
			if taken < partsAhead {
				buf = p.pool.Get().(*inflate.Buffer)
				taken++
				break
			}
			select {
			case buf = <-p.free:
			case <-p.ctx.Done():
				return
			}
		}
		var data []byte
		data, err = d.Next(buf)
		p.decoded <- part{buf, data, err}
	}
}

// hash runs in a goroutine.
func (p *pipeline) hash(h io.Writer) {
	defer close(p.hashed)
	for part := range p.decoded {
		h.Write(part.data)
		p.hashed <- part
	}
}

// Next implements [extract.Source]. It returns the error of ctx once that has ended.
func (p *pipeline) Next() ([]byte, error) {
	p.recycle()
	if p.err == nil {
		p.err = p.ctx.Err()
	}
	if p.err != nil {
		return nil, p.err
	}
	next, ok := <-p.hashed
	if !ok {
		p.err = p.ctx.Err()
		return nil, p.err
	}
	p.current, p.err = next.buf, next.err
	if err := p.count(len(next.data)); err != nil {
		p.err = err
		return nil, err
	}
	return next.data, p.err
}

// skipRest reads to the end: padding after the last entry belongs to the digest.
func (p *pipeline) skipRest() (err error) {
	for err == nil {
		_, err = p.Next()
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// recycle releases the buffer of the current part.
func (p *pipeline) recycle() {
	if p.current != nil {
		p.free <- p.current
		p.current = nil
	}
}

// Close ends the goroutines, waits for them and returns the buffers to the pool.
func (p *pipeline) Close() {
	p.stop()
	for part := range p.hashed {
		p.free <- part.buf
	}
	p.recycle()
	close(p.free)
	for buf := range p.free {
		p.pool.Put(buf)
	}
}
