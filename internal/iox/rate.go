package iox

import (
	"context"
	"io"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// Rate is a limit on the bytes a second of all the readers that share it. They get the bytes
// in the order in which they ask. A nil Rate limits nothing.
type Rate struct {
	limiter *rate.Limiter
	burst   int
}

// NewRate returns a limit of n bytes a second, or nil if n is 0. After a pause, a quarter of
// what a second allows may follow at once: enough for timers that are late.
func NewRate(n int64) *Rate {
	if n <= 0 {
		return nil
	}
	burst := int(min(max(n/4, 1), math.MaxInt32))
	return &Rate{rate.NewLimiter(rate.Limit(n), burst), burst}
}

// Wait waits until n bytes that were read are within the limit. When ctx ends before, Wait
// returns its error.
func (r *Rate) Wait(ctx context.Context, n int) error {
	for r != nil && n > 0 {
		part := min(n, r.burst)
		n -= part
		pause := r.limiter.ReserveN(time.Now(), part).Delay()
		if pause <= 0 {
			continue
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		}
	}
	return nil
}

// Next returns the part of p to read at once, so that no read exceeds the limit by more than
// a burst.
func (r *Rate) Next(p []byte) []byte {
	if r == nil || len(p) <= r.burst {
		return p
	}
	return p[:r.burst]
}

// Reader returns a reader of in within the limit. Its Read waits after the bytes of in have
// arrived, and no longer than ctx.
func (r *Rate) Reader(ctx context.Context, in io.Reader) io.Reader {
	if r == nil {
		return in
	}
	return ReaderFunc(func(p []byte) (int, error) {
		n, err := in.Read(r.Next(p))
		if werr := r.Wait(ctx, n); werr != nil {
			err = werr
		}
		return n, err
	})
}

// ReaderAt returns a reader of in within the limit. Its ReadAt waits no longer than ctx.
func (r *Rate) ReaderAt(ctx context.Context, in io.ReaderAt) io.ReaderAt {
	if r == nil {
		return in
	}
	return limitedAt{ctx, r, in}
}

type limitedAt struct {
	ctx  context.Context
	rate *Rate
	in   io.ReaderAt
}

// ReadAt implements [io.ReaderAt].
func (l limitedAt) ReadAt(p []byte, off int64) (int, error) {
	for n := 0; ; {
		m, err := l.in.ReadAt(l.rate.Next(p[n:]), off+int64(n))
		n += m
		if werr := l.rate.Wait(l.ctx, m); werr != nil {
			err = werr
		}
		if err != nil || n == len(p) {
			return n, err
		}
	}
}
