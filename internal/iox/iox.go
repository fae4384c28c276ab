// Package iox holds the small readers and buffers that several packages need.
package iox

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
)

// BufferSize is the unit of copying, bytes.
const BufferSize = 256 << 10

var buffers = sync.Pool{New: func() any { b := make([]byte, BufferSize); return &b }}

// Buffer returns a buffer of [BufferSize] bytes with arbitrary contents. The caller
// returns it with [Release].
func Buffer() *[]byte { return buffers.Get().(*[]byte) }

// Release returns a buffer of [Buffer] for reuse.
func Release(b *[]byte) { buffers.Put(b) }

// ReadExactly reads n bytes. The buffer grows while the bytes arrive, so that a wrong
// length costs no memory. The error is that of [io.ReadFull].
func ReadExactly(r io.Reader, n int) ([]byte, error) {
	buf := make([]byte, min(n, 16<<10))
	for at := 0; ; {
		m, err := io.ReadFull(r, buf[at:])
		if at += m; err != nil || at == n {
			return buf, err
		}
		buf = append(buf, make([]byte, min(n-at, at))...)
	}
}

// ReaderFunc is a function used as an [io.Reader].
type ReaderFunc func([]byte) (int, error)

// Read implements [io.Reader].
func (f ReaderFunc) Read(p []byte) (int, error) { return f(p) }

// WithContext returns a reader of r that fails with the error of ctx once that ends. It
// does not interrupt a Read that is blocked.
func WithContext(ctx context.Context, r io.Reader) io.Reader {
	return ReaderFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return r.Read(p)
	})
}

// Wait returns what f returns, or the error of ctx if that ends first. The call of f then
// stays behind in a goroutine.
func Wait[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		value, err := f()
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// Interruptible returns a reader of r whose Read returns the error of ctx once that ends,
// also while r waits for bytes. The Read of r then stays behind in a goroutine. Where no
// Read can wait, [WithContext] costs less.
func Interruptible(ctx context.Context, r io.Reader) io.Reader {
	var buf []byte // not the caller's, which may be in use again while r still writes to it
	return ReaderFunc(func(p []byte) (int, error) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if buf == nil {
			buf = make([]byte, BufferSize)
		}
		part := buf[:min(len(p), len(buf))]
		n, err := Wait(ctx, func() (int, error) { return r.Read(part) })
		return copy(p, part[:n]), err
	})
}

// Report returns a reader of r that calls f with the number of bytes of every Read.
func Report(r io.Reader, f func(int64)) io.Reader {
	return ReaderFunc(func(p []byte) (int, error) {
		n, err := r.Read(p)
		f(int64(n))
		return n, err
	})
}

// Limit returns a reader of r that fails with err as soon as r has more than n bytes. The
// bytes of the Read that exceeds the limit are not returned.
func Limit(r io.Reader, n int64, err error) io.Reader {
	return ReaderFunc(func(p []byte) (int, error) {
		m, rerr := r.Read(p)
		if n -= int64(m); n < 0 {
			return 0, err
		}
		return m, rerr
	})
}

// Monitor is a reader that counts what is read and keeps the error that ended it. N and
// Err may be called while another goroutine reads.
type Monitor struct {
	r   io.Reader
	n   atomic.Int64
	err atomic.Pointer[error]
}

// NewMonitor returns a Monitor of r.
func NewMonitor(r io.Reader) *Monitor { return &Monitor{r: r} }

// Read implements [io.Reader].
func (m *Monitor) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	m.n.Add(int64(n))
	if err != nil && err != io.EOF {
		m.err.Store(&err)
	}
	return n, err
}

// N returns the number of bytes read so far.
func (m *Monitor) N() int64 { return m.n.Load() }

// Err returns the last error of the underlying reader other than [io.EOF].
func (m *Monitor) Err() error {
	if err := m.err.Load(); err != nil {
		return *err
	}
	return nil
}
