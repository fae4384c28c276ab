package registrytest

import (
	"net/http"
	"sync"
	"time"
)

// limiter limits the rate of a connection, or of all of them together.
type limiter struct {
	mu   sync.Mutex
	free time.Time // when the bytes reserved so far have passed
}

// limiterKey is the context key of a connection's limiter.
type limiterKey struct{}

// lag is how late a sender may wake up without losing rate. Timers wake up to about a
// millisecond late; without this the actual rate would be below the configured one.
const lag = 50 * time.Millisecond

// reserve adds n bytes at time now and returns how long it takes until the last of them has
// passed, at rate bytes/s.
func (l *limiter) reserve(now time.Time, n int, rate int64) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.free) > lag {
		l.free = now
	}
	l.free = l.free.Add(time.Duration(float64(n) / float64(rate) * float64(time.Second)))
	return l.free.Sub(now)
}

// Sizes in bytes of the chunks in which a body is sent.
const (
	minChunk = 1 << 10
	maxChunk = 128 << 10
)

// chunkSize returns how many bytes to send at once: about a fiftieth of a second at the
// lower of the two rates.
func chunkSize(connRate, linkRate int64) int {
	n := int64(maxChunk)
	for _, rate := range []int64{connRate, linkRate} {
		if rate > 0 {
			n = min(n, max(minChunk, rate/50))
		}
	}
	return int(n)
}

// Write sends body bytes, subject to the faults. A cut panics with http.ErrAbortHandler, on
// which net/http closes the connection (HTTP/2: resets the stream).
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	done := 0
	for done < len(p) {
		chunk := p[done:]
		connRate := faultValue(x, func(f *Faults) int64 { return f.ConnRate })
		linkRate := faultValue(x, func(f *Faults) int64 { return f.LinkRate })
		chunk = chunk[:min(len(chunk), chunkSize(connRate, linkRate))]
		chunk = chunk[:min(int64(len(chunk)), x.interrupt(int64(len(chunk))))]
		if len(chunk) == 0 {
			continue // a stall that was released
		}
		if !x.throttle(len(chunk), connRate, linkRate) {
			return done, x.r.Context().Err()
		}
		n, err := x.writeChunk(chunk)
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

// writeChunk sends p. It counts the bytes in the log first, so that they are there when the
// client has read them.
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

// flush sends what net/http has buffered.
func (x *exchange) flush() {
	// If flushing fails, the next write fails as well.
	_ = http.NewResponseController(x.w).Flush()
}

// throttle waits until n bytes may pass the connection and the link. It returns false if
// the client disconnected.
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

// interrupt returns how many of the next n body bytes may be sent before a cut or stall,
// and carries out one that is due. After a released stall it returns 0 once.
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

// limit returns how many of the next n bytes may be sent after the first sent ones, and
// whether the interrupt is due; if so, it counts as used.
func (i *Interrupt) limit(n, sent int64) (int64, bool) {
	switch left := i.After - sent; {
	case i.Times == 0 || left >= n:
		return n, false
	case left > 0:
		return left, false
	default:
		return 0, i.Times.use()
	}
}

// stall holds the response until the client disconnects, Release is called or the registry
// closes.
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

// wait sleeps for d. It returns false if the client disconnected or the registry closed.
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
