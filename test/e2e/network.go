//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// loopbackUp enables the only interface of a new network namespace (netdevice(7)). The
// namespace then reaches itself at 127.0.0.1 and nothing else: there is no route.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("enable lo: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("enable lo: %w", err)
	}
	return nil
}

// dial connects from inside the machine: a socket belongs to the network namespace of the
// thread that creates it. The address must be numeric, so that the dialer stays on that
// thread.
func (m *machine) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	m.do(func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, address) })
	return conn, err
}
