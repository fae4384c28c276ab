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
)

const (
	firstDelay = 500 * time.Millisecond
	maxDelay   = 30 * time.Second
	// maxErrorBody is how much of an error answer is read, bytes.
	maxErrorBody = 64 << 10
	// headTries is how often a HEAD is sent that is answered with a temporary status: a GET
	// follows it, and some servers answer every HEAD so.
	headTries = 2
)

// backoff returns how long to wait before try number attempt (from 0): it doubles from
// half a second to half a minute. A Retry-After is honoured up to a minute; longer waits
// are for the user to decide.
func backoff(attempt int, retryAfter time.Duration) time.Duration {
	if retryAfter > 0 {
		return min(retryAfter, time.Minute)
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

// retryAfter reads the Retry-After header in the forms that servers send: seconds and a
// date (RFC 9110 section 10.2.3), a Unix time (Docker Hub's own API, hub-feedback
// 2459) and a Go duration (GitHub's registry). It returns 0 for none and for the past.
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := strings.TrimSpace(h.Get("Retry-After"))
	if v == "" {
		return 0
	}
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		if n > 1e9 { // no server means 30 years: a Unix time
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
			why = err.Error()
		} else {
			if after := retryAfter(resp.Header, time.Now()); after > 0 {
				wait = backoff(attempt, after)
			}
			why = resp.Status
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
		return isTemporaryError(err), tries
	}
	if resp.StatusCode != http.StatusTooManyRequests {
		pace.accepted()
		if req.Method == http.MethodHead && req.URL.Host != dockerHubHost {
			tries = min(tries, headTries)
		}
		return isTemporary(resp.StatusCode), tries
	}
	if pullLimit(resp) {
		return false, tries
	}
	if pace.refused() {
		r.net.events.report(Event{Host: req.URL.Host, Text: "too many requests: slowing down to one a second"})
	}
	return true, max(tries, slowAttempts)
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
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return true
	}
	return brokenConnection(err)
}

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
