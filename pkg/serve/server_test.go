package serve

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// start serves a source on a free port and returns its address, and what ends it.
func start(t testing.TB, s Source) (address string, stop func() error) {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, l, New(s, Options{})) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String(), stop
}

// TestListen checks that only addresses of this machine are accepted.
func TestListen(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"127.0.0.1:0", "localhost:0", "127.8.8.8:0"} {
		l, err := Listen(t.Context(), address)
		if err != nil {
			t.Errorf("%s: %v", address, err)
			continue
		}
		l.Close()
	}
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0", "192.0.2.1:5480", "example.com:5480", "[::ffff:192.0.2.1]:0"} {
		if l, err := Listen(t.Context(), address); !errors.Is(err, ErrNotLoopback) {
			t.Errorf("%s: %v, %v", address, l, err)
		}
	}
	if _, err := Listen(t.Context(), "5480"); err == nil {
		t.Error("an address without a port was accepted")
	}
}

// TestInherited starts this program as systemd starts the service of a socket unit. The
// shell has the process ID that the program keeps.
func TestInherited(t *testing.T) {
	if os.Getenv("SERVE_INHERITED") != "" {
		l, err := Listen(t.Context(), "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		if os.Getenv("LISTEN_FDS") != "" {
			t.Error("the variable is still set")
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer cancel()
			_, _ = io.Copy(io.Discard, os.Stdin) // until the test closes it
		}()
		if err := Serve(ctx, l, New(newMemory(), Options{})); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" -test.run '^TestInherited$'`, os.Args[0])
	cmd.Env = append(os.Environ(), "SERVE_INHERITED=1")
	cmd.ExtraFiles = []*os.File{f}
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	res, err := http.Get("http://" + l.Addr().String() + "/v2/")
	if err != nil || res.StatusCode != 200 {
		t.Error(res, err)
	}
	stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// TestHostileClients checks the limits on connections and on headers.
func TestHostileClients(t *testing.T) {
	t.Parallel()
	address, _ := start(t, newMemory())
	ask := func(text string) string {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go io.WriteString(c, text)
		line, _ := bufio.NewReader(c).ReadString('\n')
		return line
	}
	for _, tt := range []struct{ text, want string }{
		{"GET /v2/ HTTP/1.1\r\nHost: a\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "431"},
		{"GET /v2/" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHost: a\r\n\r\n", "431"},
		{"GET /v2/../../etc/passwd HTTP/1.1\r\nHost: a\r\n\r\n", "404"},
		{"GET http://other/v2/ HTTP/1.1\r\nHost: a\r\n\r\n", "200"},
		{"\x16\x03\x01\x02\x00\x01\x00\n\n", "400"},
		{"GET /v2/ HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\n", "200"},
	} {
		if got := ask(tt.text); !strings.Contains(got, tt.want) {
			t.Errorf("%.30q: %q, want %s", tt.text, got, tt.want)
		}
	}
}

// TestSlowHeaders checks that a client that does not end its headers loses the connection.
func TestSlowHeaders(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(New(newMemory(), Options{}))
	if s.ReadHeaderTimeout <= 0 || s.IdleTimeout <= 0 || s.ReadTimeout != 0 || s.WriteTimeout != 0 {
		t.Errorf("%+v", s)
	}
	s.ReadHeaderTimeout, s.IdleTimeout = 20*time.Millisecond, 20*time.Millisecond
	go s.Serve(l)
	defer s.Close()
	for _, text := range []string{"", "GET /v2/ HTTP/1.1\r\nHost: a\r\n", "GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n"} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, text); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(c); err != nil { // returns when the server closes the connection
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestConnectionLimit fills all slots and checks that a client waits for one, no longer.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := limit(inner, 2)
	var open []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range 2 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	accepted := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			c.Close()
		}
		accepted <- err
	}()
	select {
	case err := <-accepted:
		t.Fatalf("a third connection was accepted: %v", err)
	case <-time.After(20 * time.Millisecond):
	}
	open[0].Close()
	open[0].Close() // frees one slot only
	if err := <-accepted; err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := l.Accept(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, err := l.Accept() // waits for a slot
		accepted <- err
	}()
	l.Close()
	if err := <-accepted; !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// TestDrain ends a server while a client reads, which then gets the rest.
func TestDrain(t *testing.T) {
	t.Parallel()
	m := newMemory()
	d := m.put("", make([]byte, 8<<20)) // more than the kernel buffers
	address, stop := start(t, m)
	res, err := http.Get("http://" + address + "/v2/a/blobs/" + d.Digest.String())
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	head := make([]byte, 1000)
	if _, err := io.ReadFull(res.Body, head); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- stop() }()
	for { // until the listener is closed
		c, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		c.Close()
	}
	rest, err := io.ReadAll(res.Body)
	if err != nil || digest.FromBytes(append(head, rest...)) != d.Digest {
		t.Errorf("%d bytes: %v", len(rest), err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
