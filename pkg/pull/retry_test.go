package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		header string
		want   time.Duration
	}{
		"absent":               {"", 0},
		"seconds":              {"120", 2 * time.Minute},
		"zero":                 {"0", 0},
		"negative":             {"-5", 0},
		"date":                 {"Sun, 01 Mar 2026 12:00:30 GMT", 30 * time.Second},
		"date that is past":    {"Sun, 01 Mar 2026 11:00:00 GMT", 0},
		"unix time":            {fmt.Sprint(now.Add(6 * time.Hour).Unix()), 6 * time.Hour},
		"unix time, past":      {fmt.Sprint(now.Add(-time.Hour).Unix()), 0},
		"duration":             {"880.092µs", 880092 * time.Nanosecond},
		"duration and a limit": {"2s, allowed: 44000/minute", 2 * time.Second},
		"nonsense":             {"soon", 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := retryAfter(http.Header{"Retry-After": {c.header}}, now); got != c.want {
				t.Errorf("retryAfter(%q) = %v, want %v", c.header, got, c.want)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	for name, c := range map[string]struct {
		attempt int
		after   time.Duration
		want    time.Duration
	}{
		"first":               {0, 0, 500 * time.Millisecond},
		"doubles":             {3, 0, 4 * time.Second},
		"is bounded":          {100, 0, 30 * time.Second},
		"believes the server": {0, 7 * time.Second, 7 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			if got := backoff(c.attempt, c.after); got != c.want {
				t.Errorf("backoff(%d, %v) = %v, want %v", c.attempt, c.after, got, c.want)
			}
		})
	}
}

func TestIsTemporaryError(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"end of stream":      {io.ErrUnexpectedEOF, true},
		"reset":              {&wrapped{syscall.ECONNRESET}, true},
		"timeout":            {&wrapped{timeoutError{}}, true},
		"cancelled":          {context.Canceled, false},
		"deadline of ours":   {context.DeadlineExceeded, false},
		"connection refused": {&wrapped{syscall.ECONNREFUSED}, false},
		"certificate":        {errors.New("x509: certificate signed by unknown authority"), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := isTemporaryError(c.err); got != c.want {
				t.Errorf("isTemporaryError(%v) = %v, want %v", c.err, got, c.want)
			}
		})
	}
}

type wrapped struct{ error }

func (w *wrapped) Unwrap() error { return w.error }

type timeoutError struct{}

func (timeoutError) Error() string { return "i/o timeout" }
func (timeoutError) Timeout() bool { return true }

// TestPullLimit checks that the pull limit is distinguished from the limit on the rate of
// requests.
func TestPullLimit(t *testing.T) {
	manifest, err := http.NewRequest(http.MethodGet, "https://registry.example/v2/a/b/manifests/v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your unauthenticated pull rate limit."}]}`
	for name, c := range map[string]struct {
		header http.Header
		body   string
		want   bool
	}{
		"headers":      {http.Header{"Ratelimit-Limit": {"100;w=21600"}}, "", true},
		"words":        {http.Header{}, body, true},
		"plain words":  {http.Header{}, "Too Many Requests", false},
		"empty answer": {http.Header{}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			resp := &http.Response{StatusCode: 429, Header: c.header, Request: manifest, Body: io.NopCloser(strings.NewReader(c.body))}
			if got := pullLimit(resp); got != c.want {
				t.Errorf("pullLimit = %v, want %v", got, c.want)
			}
			if rest, _ := io.ReadAll(resp.Body); string(rest) != c.body {
				t.Errorf("the body left to read is %q, want %q", rest, c.body)
			}
		})
	}
}

func TestReadQuota(t *testing.T) {
	h := http.Header{}
	h.Set("ratelimit-limit", "100;w=21600")
	h.Set("ratelimit-remaining", "76;w=21600")
	h.Set("docker-ratelimit-source", "192.0.2.7")
	got, ok := readQuota(h)
	want := Quota{Limit: 100, Remaining: 76, Window: 6 * time.Hour, Subject: "192.0.2.7", Known: true}
	if !ok || got != want {
		t.Errorf("readQuota = %+v, %v, want %+v", got, ok, want)
	}
	for _, bad := range []string{"", "many", "-1;w=60", ";w=21600"} {
		h.Set("ratelimit-limit", bad)
		if got, ok := readQuota(h); ok {
			t.Errorf("readQuota of limit %q = %+v, want none", bad, got)
		}
	}
}
