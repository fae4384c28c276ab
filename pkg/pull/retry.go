package pull

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"stowage/pkg/pull/internal/watch"
)

const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
	// maxErrorBody is how much of an error answer is read, bytes.
	maxErrorBody = 64 << 10
	// probeTries is how often a request is sent that is answered with a temporary status
	// when another one follows in any case: some servers answer every HEAD or ping so.
	probeTries = 2
	// maxStated is the longest wait of a Retry-After that is kept without --wait.
	maxStated = time.Minute
	// stalledTries is how often a document is asked for that stops or crawls.
	stalledTries = 3
)

// now is the clock of Retry-After headers; tests replace it.
var now = time.Now

type triesKey struct{}

// withTries returns a context whose requests are repeated less often after an answer with a
// temporary status.
func withTries(ctx context.Context, n int) context.Context {
	return context.WithValue(ctx, triesKey{}, n)
}

// backoff returns how long to wait before try number attempt (from 0): it doubles from
// half a second to half a minute. A wait that the server states replaces it.
func backoff(attempt int, stated time.Duration) time.Duration {
	if stated > 0 {
		return stated
	}
	d := maxDelay
	if attempt < 6 {
		d = min(firstDelay<<attempt, maxDelay)
	}
	return d
}

// jitter adds up to a quarter to d so that many clients do not return at once.
func jitter(d time.Duration) time.Duration {
	return d + time.Duration(rand.Int64N(int64(d)/4+1))
}

// retryAfter reads how long to wait from the header Retry-After, or else from that of a
// used-up rate limit, in the forms that servers send: seconds and a date (RFC 9110 section
// 10.2.3), a Unix time (Docker Hub's own API, hub-feedback 2459), also in milliseconds, and
// a Go duration (GitHub's registry). It returns 0 for none and for the past.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	for _, name := range []string{"X-Retry-After", "Ratelimit-Reset", "X-Ratelimit-Reset"} {
		if v == "" {
			v = strings.TrimSpace(h.Get(name))
		}
	}
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		switch { // no server means 30 years: a Unix time
		case n > 1e12:
			return max(0, time.UnixMilli(n).Sub(now))
		case n > 1e9:
			return max(0, time.Unix(n, 0).Sub(now))
		}
		return time.Duration(max(0, n)) * time.Second
	}
	if t, err := http.ParseTime(v); err == nil {
		return max(0, t.Sub(now))
	}
	first, _, _ := strings.Cut(v, ",")
	if d, err := time.ParseDuration(strings.TrimSpace(first)); err == nil {
		return max(0, d)
	}
	return 0
}

// isTemporary reports whether a status means "not now" rather than "no". [pullLimit]
// distinguishes the kinds of 429.
func isTemporary(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout, 499, 522:
		return true
	}
	return false
}

// retrier repeats requests that failed on the network or with a temporary status. It does
// not read bodies: their reader requests the rest.
type retrier struct {
	next   http.RoundTripper
	net    *network
	header hostHeader
}

// RoundTrip sends the request, again where that may help, and returns the last answer.
func (r *retrier) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", r.net.userAgent)
	r.header.add(req)
	pace := r.net.pacer(req.URL.Host)
	for attempt := 0; ; attempt++ {
		if d := pace.delay(time.Now()); d > 0 {
			if err := r.net.sleep(req.Context(), d); err != nil {
				return nil, err
			}
		}
		resp, err := r.next.RoundTrip(req)
		if err == nil {
			r.net.events.reportWarnings(req.URL.Host, resp.Header)
		}
		again, tries := r.again(req, resp, err, pace)
		if !again || attempt+1 >= tries || req.Context().Err() != nil {
			return resp, err
		}
		wait, why := jitter(backoff(attempt, 0)), ""
		if err != nil {
			why = requestError(err).Error()
		} else {
			if after := retryAfter(resp.Header, now()); after > 0 {
				if after > maxStated && !r.net.mayWait(req.URL.Host, after) {
					return resp, nil
				}
				wait = backoff(attempt, after)
			}
			why = statusText(resp)
			drain(resp)
		}
		r.net.events.report(Event{Host: req.URL.Host, Text: oneLine(why), Wait: wait})
		if err := r.net.sleep(req.Context(), wait); err != nil {
			return nil, err
		}
		if req.GetBody != nil {
			if req.Body, err = req.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}

// again reports whether another try makes sense, and how many there may be.
func (r *retrier) again(req *http.Request, resp *http.Response, err error, pace *pacer) (bool, int) {
	tries := r.net.attempts
	if req.Body != nil && req.GetBody == nil {
		return false, tries
	}
	if err != nil {
		return isTemporaryError(err) && req.Context().Value(onceKey{}) == nil, tries
	}
	if resp.StatusCode != http.StatusTooManyRequests {
		pace.accepted()
		if n, ok := req.Context().Value(triesKey{}).(int); ok {
			tries = min(tries, n)
		}
		return isTemporary(resp.StatusCode), tries
	}
	if pullLimit(resp) {
		return false, tries
	}
	if retryAfter(resp.Header, now()) <= maxStated && pace.refused() {
		r.net.events.report(Event{Host: req.URL.Host, Text: "too many requests: slowing down to one a second"})
	}
	return true, max(tries, slowAttempts)
}

// mayWait reports whether Options.Wait allows to wait as long as a host states. All waits
// for a host together, however many requests wait at the same time, end before Wait has
// passed since the first of them.
func (n *network) mayWait(host string, stated time.Duration) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	first, waited := n.waits[host]
	if !waited {
		first = now()
	}
	if now().Add(stated).After(first.Add(n.wait)) {
		return false
	}
	n.waits[host] = first
	return true
}

// document sends a request until its answer has been read: a connection that breaks inside
// a body is as temporary as one that breaks before it. send returns an error for any answer
// but the expected one. With an error of the body, the answer is returned too.
func (n *network) document(ctx context.Context, limit int64, send func() (*http.Response, error)) (*http.Response, []byte, error) {
	for attempt := 1; ; attempt++ {
		resp, err := send()
		if err != nil {
			return nil, nil, err
		}
		raw, err := readLimited(resp, limit)
		resp.Body.Close()
		tries := n.attempts
		if watch.Ended(err) {
			tries = min(tries, stalledTries)
		}
		if err == nil || errors.Is(err, errTooLarge) || ctx.Err() != nil || attempt >= tries {
			return resp, raw, err
		}
		wait := jitter(backoff(attempt-1, 0))
		n.events.report(Event{Host: resp.Request.URL.Host, Text: oneLine(err.Error()), Wait: wait})
		if err := n.sleep(ctx, wait); err != nil {
			return nil, nil, err
		}
	}
}

// isTemporaryError reports whether a failed request may succeed the next time: the
// connection broke or timed out. A refused certificate or an unknown host stays.
func isTemporaryError(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	if proxy := (*ProxyError)(nil); errors.As(err, &proxy) {
		return isTemporary(proxy.Status)
	}
	if stream := (streamError{}); errors.As(err, &stream) {
		return true
	}
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return true
	}
	return brokenConnection(err)
}

// streamError is an HTTP/2 stream that the server reset. The error of net/http fills in any
// struct that has its fields.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e streamError) Error() string { return "stream reset" }

// pullLimit reports whether a 429 is about a used-up pull limit, which lasts for hours,
// and not about the rate of requests, which passes at once: Docker Hub sends its rate
// limit headers or an error in JSON with the first and neither with the second.
func pullLimit(resp *http.Response) bool {
	if resp.Header.Get("Ratelimit-Limit") != "" || resp.Header.Get("Ratelimit-Remaining") != "" {
		return true
	}
	if resp.Request != nil && !strings.Contains(resp.Request.URL.Path, "/manifests/") {
		return false
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(body)) // for the next reader of the answer
	return err == nil && bytes.Contains(body, []byte("pull rate limit"))
}
