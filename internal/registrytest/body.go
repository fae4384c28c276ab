package registrytest

import (
	"net/http"
	"sync"
	"time"
)

// line shapes the traffic of a connection, or of all of them together.
type limiter struct {
	mu   sync.Mutex
	free time.Time // when all that was sent has passed
}

// limiterKey is where a connection's line is found in the context of its requests.
type limiterKey struct{}

// lag is how late a sender may wake up and still have its next bytes pass as if it had
// been on time. Timers wake late by up to a millisecond or so; without this the rate
// would fall short of what was asked for.
const lag = 50 * time.Millisecond

// reserve puts n bytes on the line at time now and tells how long it takes until the
// last of them has passed, at rate bytes/s.
func (l *limiter) reserve(now time.Time, n int, rate int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.free) > lag {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return l.free.Sub(now)
}

// Sizes of the pieces a body leaves in, in bytes.
const (
	minChunk = 1 << 10
	maxChunk = 128 << 10
)

// piece is how many bytes to send at once: about a fiftieth of a second at the slower of
// two rates.
func chunkSize(connRate, linkRate int64) int {
	n := int64(maxChunk)
	for _, rate := range []int64{connRate, linkRate} {
		if rate > 0 {
			n = min(n, max(minChunk, rate/50))
		}
	}
	return int(n)
}

// Write sends body bytes, with whatever the faults do to them. A cut ends the handler by
// panicking with http.ErrAbortHandler, which net/http answers by closing the connection
// (HTTP/2: by resetting the stream).
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	done := 0
	for done < len(p) {
		part := p[done:]
		connRate := faultValue(x, func(f *Faults) int64 { return f.ConnRate })
		linkRate := faultValue(x, func(f *Faults) int64 { return f.LinkRate })
		part = part[:min(len(part), chunkSize(connRate, linkRate))]
		part = part[:min(int64(len(part)), x.interrupt(int64(len(part))))]
		if len(part) == 0 {
			continue // a stall that was released
		}
		if !x.throttle(len(part), connRate, linkRate) {
			return done, x.r.Context().Err()
		}
		n, err := x.writeChunk(part)
		done += n
		if err != nil {
			return done, err
		}
		if connRate > 0 || linkRate > 0 {
			x.flush()
		}
	}
	return done, nil
}

// push sends bytes as they are. The log counts them first: a client that has read them
// finds them there.
func (x *exchange) writeChunk(p []byte) (int, error) {
	x.note(func(e *Entry) { e.Bytes += int64(len(p)) })
	if x.length >= 0 && x.sent+int64(len(p)) >= x.length {
		x.endActive()
	}
	n, err := x.w.Write(p)
	x.sent += int64(n)
	if err != nil {
		x.note(func(e *Entry) { e.Bytes -= int64(len(p) - n); e.Note = "client gone" })
	}
	return n, err
}

// flush sends what net/http holds back.
func (x *exchange) flush() {
	// A listener that cannot flush, or a client that went, shows at the next write.
	_ = http.NewResponseController(x.w).Flush()
}

// shape waits until n bytes may have passed the connection and the link; false when the
// client went meanwhile.
func (x *exchange) throttle(n int, connRate, linkRate int64) bool {
	now := time.Now()
	var d time.Duration
	if connRate > 0 && x.limiter != nil {
		d = x.limiter.reserve(now, n, connRate)
	}
	if linkRate > 0 {
		d = max(d, x.registry.link.reserve(now, n, linkRate))
	}
	return d <= 0 || x.wait(d)
}

// strike gives how many of the next n body bytes may leave before a cut or stall, and
// carries that one out when it is due now. After a stall was released it gives 0 once.
func (x *exchange) interrupt(n int64) int64 {
	if x.status != http.StatusOK && x.status != http.StatusPartialContent {
		return n
	}
	var cut, stall bool
	x.fault(func(f *Faults) bool {
		n, cut = f.Cut.limit(n, x.sent)
		return cut
	})
	if cut {
		x.note(func(e *Entry) { e.Note = "cut" })
		x.flush()
		panic(http.ErrAbortHandler)
	}
	if x.stalled {
		return n
	}
	x.fault(func(f *Faults) bool {
		n, stall = f.Stall.limit(n, x.sent)
		return stall
	})
	if stall {
		x.stall()
		return 0
	}
	return n
}

// limit gives how many of the next n bytes may pass when sent have already, and whether
// the strike is due; that uses it up.
func (s *Interrupt) limit(n, sent int64) (int64, bool) {
	switch left := s.After - sent; {
	case s.Times == 0 || left >= n:
		return n, false
	case left > 0:
		return left, false
	default:
		return 0, s.Times.use()
	}
}

// stall holds the answer until the client goes, Release is called or the registry closes.
func (x *exchange) stall() {
	x.stalled = true
	x.note(func(e *Entry) { e.Note = "stalled" })
	x.registry.mu.Lock()
	release := x.registry.release
	x.registry.mu.Unlock()
	x.flush()
	select {
	case <-release:
	case <-x.r.Context().Done():
		panic(http.ErrAbortHandler)
	case <-x.registry.closing:
		panic(http.ErrAbortHandler)
	}
}

// wait sleeps for d; false when the client went or the registry closed before.
func (x *exchange) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-x.r.Context().Done():
	case <-x.registry.closing:
	}
	return false
}
