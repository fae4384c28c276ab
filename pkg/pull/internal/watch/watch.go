// Package watch ends the bodies of HTTP answers that would never end: those that stop,
// crawl, take too long or exceed their limit.
//
//	t := &watch.Transport{Next: http.DefaultTransport, Default: watch.Limits{Stall: 15 * time.Second, Total: time.Minute, Size: 8 << 20}}
//	req = req.WithContext(watch.With(req.Context(), watch.Limits{Stall: time.Minute})) // a blob
//
// [http.Transport] bounds the time until the header of an answer, but not its body.
package watch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"stowage/internal/iox"
)

// The reasons for which a body is ended. Reads return them.
var (
	ErrStalled = errors.New("the server stopped sending")
	ErrSlow    = errors.New("the server sends too slowly")
	ErrLong    = errors.New("the answer takes too long")
	ErrLarge   = errors.New("the answer is too large")
)

// Ended reports whether err is one of the reasons that depend on time.
func Ended(err error) bool {
	return errors.Is(err, ErrStalled) || errors.Is(err, ErrSlow) || errors.Is(err, ErrLong)
}

// Limits bound one body. A zero field sets no bound.
type Limits struct {
	Stall time.Duration // longest read that returns no byte
	// Of the time spent in reads: every Window must bring Least bytes. The time that the
	// reader spends elsewhere does not count, so a slow disk is not the server's fault.
	Window time.Duration
	Least  int64

	// From the header to the end, the reader's time included, but not that for a Rate.
	Total time.Duration
	Size  int64 // bytes
}

type limitsKey struct{}

// With returns a context whose requests have these limits instead of the default ones.
func With(ctx context.Context, l Limits) context.Context {
	return context.WithValue(ctx, limitsKey{}, l)
}

// Transport is an [http.RoundTripper] that bounds the bodies of all answers.
type Transport struct {
	Next    http.RoundTripper
	Default Limits
	Rate    *iox.Rate // of all bodies together; waiting for it is not the server's fault
}

// RoundTrip implements [http.RoundTripper].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	limits, ok := req.Context().Value(limitsKey{}).(Limits)
	if !ok {
		limits = t.Default
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := t.Next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	b := &body{ReadCloser: resp.Body, limits: limits, rate: t.Rate, ctx: ctx, cancel: cancel}
	if limits.Stall > 0 {
		b.stall = time.AfterFunc(limits.Stall, func() { cancel(ErrStalled) })
		b.stall.Stop() // it runs during reads only
	}
	if limits.Total > 0 {
		b.end = time.Now().Add(limits.Total)
		b.total = time.AfterFunc(limits.Total, func() { cancel(ErrLong) })
	}
	resp.Body = b
	return resp, nil
}

// body is a body with limits. Cancelling its context ends a read that is waiting.
type body struct {
	io.ReadCloser
	limits       Limits
	rate         *iox.Rate
	ctx          context.Context
	cancel       context.CancelCauseFunc
	stall, total *time.Timer
	end          time.Time // when total fires

	size  int64
	spent time.Duration // in reads of the current window
	got   int64         // bytes of the current window
}

// Read implements [io.Reader].
func (b *body) Read(p []byte) (int, error) {
	start := time.Now()
	if b.stall != nil {
		b.stall.Reset(b.limits.Stall)
	}
	n, err := b.ReadCloser.Read(b.rate.Next(p))
	if b.stall != nil {
		b.stall.Stop()
	}
	b.size += int64(n)
	if b.limits.Size > 0 && b.size > b.limits.Size {
		b.cancel(ErrLarge)
		return n - int(b.size-b.limits.Size), ErrLarge
	}
	if err == nil && b.crawls(time.Since(start), n) {
		b.cancel(ErrSlow)
		return n, ErrSlow
	}
	if err != nil && !errors.Is(err, io.EOF) {
		if cause := context.Cause(b.ctx); cause != nil && (Ended(cause) || errors.Is(cause, ErrLarge)) {
			err = cause
		}
	}
	if werr := b.wait(n); werr != nil {
		err = werr
	}
	return n, err
}

// wait waits until the rate allows n bytes more, and moves the end by as much.
func (b *body) wait(n int) error {
	if b.rate == nil {
		return nil
	}
	start := time.Now()
	stopped := b.total != nil && b.total.Stop()
	err := b.rate.Wait(b.ctx, n)
	if stopped {
		b.end = b.end.Add(time.Since(start))
		b.total.Reset(time.Until(b.end))
	}
	return err
}

// crawls counts a read and reports whether a window has ended with too few bytes.
func (b *body) crawls(took time.Duration, n int) bool {
	b.spent += took
	b.got += int64(n)
	if b.limits.Window <= 0 || b.spent < b.limits.Window {
		return false
	}
	slow := b.got < b.limits.Least
	b.spent, b.got = 0, 0
	return slow
}

// Close implements [io.Closer].
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	if b.stall != nil {
		b.stall.Stop()
	}
	if b.total != nil {
		b.total.Stop()
	}
	b.cancel(nil)
	return err
}
