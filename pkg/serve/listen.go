package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
)

// ErrNotLoopback means that an address is not one of this machine alone. There are no
// accounts and no encryption here: a network must not reach it.
var ErrNotLoopback = errors.New("not a loopback address")

// Listen listens at an address, such as "127.0.0.1:5480". The port 0 chooses a free one. If
// systemd has started this process for a socket unit, it returns that socket instead. It
// returns [ErrNotLoopback] for an address that other machines can reach.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	if l, err := inherited(); l != nil || err != nil {
		return l, err
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if ip := net.ParseIP(host); host != "localhost" && !ip.IsLoopback() {
		return nil, fmt.Errorf("listen at %s: %w", address, ErrNotLoopback)
	}
	return new(net.ListenConfig).Listen(ctx, "tcp", address)
}

// firstFD is the first descriptor that systemd passes (sd_listen_fds(3)).
const firstFD = 3

// inherited returns the socket that systemd has passed to this process, or nil. Processes
// that this one starts do not see the variables.
func inherited() (net.Listener, error) {
	pid, fds := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	if pid != strconv.Itoa(os.Getpid()) || fds == "" {
		return nil, nil
	}
	if err := errors.Join(os.Unsetenv("LISTEN_PID"), os.Unsetenv("LISTEN_FDS")); err != nil {
		return nil, err
	}
	if fds != "1" {
		return nil, fmt.Errorf("LISTEN_FDS=%s: want one socket", fds)
	}
	f := os.NewFile(firstFD, "socket of systemd")
	defer f.Close() // the listener has a copy
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("socket of systemd: %w", err)
	}
	if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
		l.Close()
		return nil, fmt.Errorf("socket of systemd at %s: %w", a, ErrNotLoopback)
	}
	return l, nil
}
