package registrytest

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener of in-memory connections: in a synctest bubble the clock advances
// only if every goroutine is blocked, and reads from sockets do not count as blocked.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }

// dial opens a connection to the listener.
func (p *pipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	p.conns <- server
	return client, nil
}

// bubble runs f with a registry and a client in a synctest bubble.
func bubble(t *testing.T, policy Policy, f func(t *testing.T, h *Registry, client *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		h, err := newRegistry(Options{Policy: policy})
		if err != nil {
			t.Fatal(err)
		}
		l := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
		h.addr = "registry.test"
		h.serve(l, h.handler(ListenerRegistry), nil)
		tr := &http.Transport{DialContext: l.dial}
		f(t, h, &http.Client{Transport: tr})
		tr.CloseIdleConnections()
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		l.Close()
	})
}

// addBlob adds n bytes to the repository "a" and returns their URL.
func addBlob(h *Registry, n int) string {
	return "http://registry.test/v2/a/blobs/" + h.AddBlob("a", make([]byte, n)).Digest.String()
}

// fetch reads a body to its end. It returns its length and the time that it took.
func fetch(t *testing.T, client *http.Client, url string) (int64, time.Duration) {
	t.Helper()
	start := time.Now()
	res, err := client.Get(url)
	if err != nil {
		t.Error(err)
		return 0, 0
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err != nil {
		t.Error(err)
	}
	return n, time.Since(start)
}

func TestRatesAndLatency(t *testing.T) {
	for _, row := range []struct {
		name   string
		faults Faults
		par    int // connections at the same time
		want   time.Duration
	}{
		{"unlimited", Faults{}, 2, 0},
		{"latency", Faults{Latency: 30 * time.Millisecond}, 2, 30 * time.Millisecond},
		{"connection", Faults{ConnRate: 100_000}, 3, 5 * time.Second},
		{"connection, slowly", Faults{ConnRate: 1000}, 1, 500 * time.Second},
		{"link", Faults{LinkRate: 100_000}, 3, 15 * time.Second},
		{"connection below link", Faults{ConnRate: 100_000, LinkRate: 1_000_000}, 3, 5 * time.Second},
		{"all", Faults{Latency: time.Second, ConnRate: 100_000, LinkRate: 100_000}, 1, 6 * time.Second},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, Policy{}, func(t *testing.T, h *Registry, client *http.Client) {
				url := addBlob(h, 500_000)
				h.SetFaults(func(f *Faults) { *f = row.faults })
				took := make([]time.Duration, row.par)
				var wg sync.WaitGroup
				for i := range took {
					wg.Go(func() {
						n, d := fetch(t, client, url)
						if took[i] = d; n != 500_000 {
							t.Errorf("%d bytes, want 500000", n)
						}
					})
				}
				wg.Wait()
				if got := slices.Max(took); (got - row.want).Abs() > time.Millisecond {
					t.Errorf("took %v, want %v", got, row.want)
				}
			})
		})
	}
}

func TestLateWakeUps(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, row := range []struct {
		name string
		late time.Duration
		want time.Duration // of the next chunk
	}{
		{"in time", 0, time.Second},
		{"a little late", lag, time.Second - lag},
		{"idle since", lag + 1, time.Second},
	} {
		l := &limiter{}
		if d := l.reserve(start, 1000, 1000); d != time.Second {
			t.Errorf("first chunk takes %v, want 1s", d)
		}
		if d := l.reserve(start.Add(time.Second+row.late), 1000, 1000); d != row.want {
			t.Errorf("%s: next piece takes %v, want %v", row.name, d, row.want)
		}
	}
}

func TestChunkSize(t *testing.T) {
	for _, row := range []struct {
		conn, link int64
		want       int
	}{
		{0, 0, maxChunk}, {1, 0, minChunk}, {50 * minChunk, 0, minChunk}, {50*minChunk + 50, 0, minChunk + 1},
		{50 * maxChunk, 0, maxChunk}, {1 << 40, 0, maxChunk}, {0, 1 << 20, 1 << 20 / 50}, {1 << 22, 1 << 20, 1 << 20 / 50},
	} {
		if got := chunkSize(row.conn, row.link); got != row.want {
			t.Errorf("chunkSize(%d, %d) = %d, want %d", row.conn, row.link, got, row.want)
		}
	}
}

func TestTokensExpire(t *testing.T) {
	bubble(t, Policy{Auth: AuthBearer, TokenTTL: time.Minute}, func(t *testing.T, h *Registry, client *http.Client) {
		raw := h.Token("")
		for _, row := range []struct {
			after time.Duration
			want  int
		}{{0, 200}, {time.Minute - 1, 200}, {1, 401}} {
			time.Sleep(row.after)
			req, err := http.NewRequest("GET", "http://registry.test/v2/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+raw)
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != row.want {
				t.Errorf("%v later: %d, want %d", row.after, res.StatusCode, row.want)
			}
		}
	})
}

func TestStallUntilRelease(t *testing.T) {
	bubble(t, Policy{}, func(t *testing.T, h *Registry, client *http.Client) {
		url := addBlob(h, 5000)
		h.SetFaults(func(f *Faults) { f.Stall = Interrupt{After: 3000, Times: 1} })
		res, err := client.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if _, err := io.ReadFull(res.Body, make([]byte, 3000)); err != nil {
			t.Fatal(err)
		}
		rest := make(chan int64)
		go func() {
			n, _ := io.Copy(io.Discard, res.Body)
			rest <- n
		}()
		synctest.Wait()
		select {
		case n := <-rest:
			t.Fatalf("the body ended after %d more bytes, want it stalled", n)
		default:
		}
		if e := h.Log()[0]; e.Note != "stalled" || e.Bytes != 3000 {
			t.Errorf("logged as %+v", e)
		}
		// The stall is used up: other requests succeed.
		if n, _ := fetch(t, client, url); n != 5000 {
			t.Errorf("another response has %d bytes", n)
		}
		h.Release()
		if n := <-rest; n != 2000 {
			t.Errorf("%d bytes after the release, want 2000", n)
		}
	})
}

func TestStallEnds(t *testing.T) {
	for _, row := range []struct {
		name string
		end  func(h *Registry, gone func())
	}{
		{"client goes", func(_ *Registry, gone func()) { gone() }},
		{"registry closes", func(h *Registry, _ func()) { h.Close() }},
	} {
		t.Run(row.name, func(t *testing.T) {
			bubble(t, Policy{}, func(t *testing.T, h *Registry, client *http.Client) {
				h.SetFaults(func(f *Faults) { f.Stall = Interrupt{After: 10, Times: Always} })
				ctx, gone := context.WithCancel(t.Context())
				defer gone()
				req, err := http.NewRequestWithContext(ctx, "GET", addBlob(h, 5000), nil)
				if err != nil {
					t.Fatal(err)
				}
				res, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				synctest.Wait()
				row.end(h, gone)
				if n, err := io.Copy(io.Discard, res.Body); err == nil || n > 10 {
					t.Errorf("%d bytes and %v, want an error after 10", n, err)
				}
				synctest.Wait()
				h.mu.Lock()
				defer h.mu.Unlock()
				if n := h.active[KindBlob]; n != 0 {
					t.Errorf("%d responses still in progress", n)
				}
			})
		})
	}
}

func TestClientDisconnects(t *testing.T) {
	for _, faults := range []Faults{{Latency: time.Hour}, {ConnRate: 1}} {
		bubble(t, Policy{}, func(t *testing.T, h *Registry, client *http.Client) {
			h.SetFaults(func(f *Faults) { *f = faults })
			client.Timeout = time.Minute
			res, err := client.Get(addBlob(h, 5000))
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
			if !os.IsTimeout(err) {
				t.Errorf("%v, want a timeout", err)
			}
			synctest.Wait()
			if n := len(h.Log()); n != 1 {
				t.Errorf("%d requests", n)
			}
		})
	}
}

func TestPeak(t *testing.T) {
	bubble(t, Policy{}, func(t *testing.T, h *Registry, client *http.Client) {
		url := addBlob(h, 500)
		for range 3 {
			fetch(t, client, url)
		}
		if got := h.Peak(KindBlob); got != 1 {
			t.Errorf("peak %d one after the other, want 1", got)
		}
		h.SetFaults(func(f *Faults) { f.Latency = time.Second })
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() { fetch(t, client, url) })
		}
		wg.Wait()
		if got := h.Peak(KindBlob); got != 3 {
			t.Errorf("peak %d at the same time, want 3", got)
		}
		if h.Reset(); h.Peak(KindBlob) != 0 || len(h.Log()) != 0 || h.Counts() != (Counts{}) {
			t.Error("counts after Reset")
		}
	})
}

func TestBlobWriterLimit(t *testing.T) {
	s, err := newStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, n := range []int{0, 1, inMemory - 1, inMemory, inMemory + 1} {
		sp := s.newBlobWriter()
		for _, part := range [][]byte{make([]byte, n/2), make([]byte, n-n/2)} {
			if _, err := sp.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		c, err := sp.content()
		if err != nil || c.Size() != int64(n) {
			t.Errorf("%d bytes: content of %d, %v", n, c.Size(), err)
		}
		if _, file := c.(*fileContent); file != (n >= inMemory) {
			t.Errorf("%d bytes in a file: %v", n, file)
		}
	}
	if files, _ := filepath.Glob(s.dir + "/*"); len(files) != 2 {
		t.Errorf("%d files, want 2", len(files))
	}
}
