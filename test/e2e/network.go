//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// addAddress adds an address to the machine, which only the machine itself can reach. A
// kubelet refuses a loopback address as the address of its node.
func (m *machine) addAddress(label int, ip netip.Addr) error {
	var err error
	m.do(func() { err = setAddress(fmt.Sprintf("lo:%d", label), ip) })
	if err != nil {
		return fmt.Errorf("add the address %s: %w", ip, err)
	}
	return nil
}

// setAddress sets the address of an alias of an interface (netdevice(7)), without a network
// around it.
func setAddress(alias string, ip netip.Addr) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for _, row := range []struct {
		request uint
		value   netip.Addr
	}{
		{unix.SIOCSIFADDR, ip},
		{unix.SIOCSIFNETMASK, netip.AddrFrom4([4]byte{255, 255, 255, 255})},
	} {
		req, err := unix.NewIfreq(alias)
		if err != nil {
			return err
		}
		if err := req.SetInet4Addr(row.value.AsSlice()); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, row.request, req); err != nil {
			return err
		}
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
