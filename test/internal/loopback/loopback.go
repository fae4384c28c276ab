//go:build linux

// Package loopback enables the interface of a new network namespace.
package loopback

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Up enables the only interface of a new network namespace (netdevice(7)). The namespace
// then reaches itself at 127.0.0.1 and nothing else: there is no route.
func Up() error {
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
