package watch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"stowage/internal/iox"
)

// server answers with a body that write writes.
type server func(ctx context.Context, w *io.PipeWriter)

func (s server) RoundTrip(req *http.Request) (*http.Response, error) {
	r, w := io.Pipe()
	ctx := req.Context()
	context.AfterFunc(ctx, func() { w.CloseWithError(ctx.Err()) })
	go func() {
		s(ctx, w)
		w.CloseWithError(ctx.Err()) // nil closes the pipe: EOF
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: r, Request: req}, nil
}

// every writes n bytes every d, count times.
func every(d time.Duration, n, count int) server {
	return func(ctx context.Context, w *io.PipeWriter) {
		for range count {
			select {
			case <-ctx.Done():
				return
			case <-time.After(d):
			}
			if _, err := w.Write(make([]byte, n)); err != nil {
				return
			}
		}
	}
}

func TestLimits(t *testing.T) {
	limits := Limits{Stall: 10 * time.Second, Window: 20 * time.Second, Least: 100, Total: time.Minute - time.Second/2, Size: 10000}
	for _, c := range []struct {
		name   string
		server server
		pause  time.Duration // of the reader after each read
		limits Limits
		want   error
		bytes  int
		within time.Duration
	}{
		{"sound", every(time.Second, 100, 10), 0, limits, nil, 1000, 11 * time.Second},
		{"empty", every(0, 0, 0), 0, limits, nil, 0, time.Second},
		{"stops", every(time.Hour, 1, 1), 0, limits, ErrStalled, 0, 11 * time.Second},
		{"stops after some bytes", func(ctx context.Context, w *io.PipeWriter) {
			every(0, 50, 1)(ctx, w)
			<-ctx.Done()
		}, 0, limits, ErrStalled, 50, 11 * time.Second},
		{"crawls", every(time.Second, 1, 1000), 0, limits, ErrSlow, 20, 21 * time.Second},
		{"crawls after a good start", func(ctx context.Context, w *io.PipeWriter) {
			every(0, 5000, 1)(ctx, w)
			every(time.Second, 1, 1000)(ctx, w)
		}, 0, limits, ErrSlow, 5040, 41 * time.Second},
		{"goes on", every(time.Second, 100, 1000), 0, limits, ErrLong, 5900, 61 * time.Second},
		{"is too large", every(0, 3000, 1000), 0, limits, ErrLarge, 10000, time.Second},
		{"is as large as allowed", every(0, 2500, 4), 0, limits, nil, 10000, time.Second},
		{"a reader that pauses", every(0, 10, 4), time.Hour, Limits{Stall: time.Second, Window: time.Second, Least: 100}, nil, 40, 5 * time.Hour},
		{"no limits", every(time.Hour, 1, 100), 0, Limits{}, nil, 100, 101 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				req, err := http.NewRequestWithContext(With(t.Context(), c.limits), http.MethodGet, "http://h/", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := (&Transport{Next: c.server}).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, p := 0, make([]byte, 4096)
				for err == nil {
					var n int
					n, err = resp.Body.Read(p)
					got += n
					time.Sleep(c.pause)
				}
				if errors.Is(err, io.EOF) {
					err = nil
				}
				if !errors.Is(err, c.want) || (err == nil) != (c.want == nil) || got != c.bytes {
					t.Errorf("%d bytes, error %v, want %d and %v", got, err, c.bytes, c.want)
				}
				if took := time.Since(start); took > c.within {
					t.Errorf("it took %s, want at most %s", took, c.within)
				}
				if c.want != nil && Ended(err) == errors.Is(c.want, ErrLarge) {
					t.Errorf("Ended(%v) = %t", err, Ended(err))
				}
			})
		})
	}
}

// TestRate checks that a body that is read slowly because of the rate is no slow server's: no
// limit ends it, and those of a server that stops work as before.
func TestRate(t *testing.T) {
	limits := Limits{Stall: time.Second, Window: time.Second, Least: 100, Total: 2 * time.Second}
	for _, c := range []struct {
		name   string
		server server
		want   error
		bytes  int
		after  time.Duration
	}{
		{"sound", every(0, 1000, 10), nil, 10000, 99750 * time.Millisecond},
		{"stops", func(ctx context.Context, w *io.PipeWriter) {
			every(0, 1000, 1)(ctx, w)
			<-ctx.Done()
		}, ErrStalled, 1000, 10750 * time.Millisecond},
		{"takes too long", every(900*time.Millisecond, 100, 10), ErrLong, 200, 3500 * time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := (&Transport{Next: c.server, Default: limits, Rate: iox.NewRate(100)}).RoundTrip(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if !errors.Is(err, c.want) || len(got) != c.bytes {
					t.Errorf("%d bytes, error %v, want %d and %v", len(got), err, c.bytes, c.want)
				}
				if took := time.Since(start); took.Round(10*time.Millisecond) != c.after {
					t.Errorf("it took %s, want %s", took, c.after)
				}
			})
		})
	}
}

// TestDefaultAndCancel checks that requests without limits of their own get the default
// ones, and that the end of the caller's context is not taken for a fault of the server.
func TestDefaultAndCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://h/", nil)
		if err != nil {
			t.Fatal(err)
		}
		tr := &Transport{Next: every(time.Hour, 1, 1), Default: Limits{Stall: 10 * time.Second}}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, ErrStalled) {
			t.Errorf("error %v, want ErrStalled", err)
		}
		resp.Body.Close()

		if resp, err = tr.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		time.AfterFunc(time.Second, cancel)
		if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want the context's", err)
		}
	})
}

type refusing struct{ err error }

func (r refusing) RoundTrip(*http.Request) (*http.Response, error) { return nil, r.err }

func TestErrorsPass(t *testing.T) {
	no := errors.New("no")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://h/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&Transport{Next: refusing{no}}).RoundTrip(req); !errors.Is(err, no) {
		t.Errorf("error %v", err)
	}
}
