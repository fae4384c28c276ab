//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memDisk is a file system in memory whose size can be changed while it is in use: a disk that
// gets full, and one that somebody makes room on.
type memDisk struct {
	dir  string
	full int64 // bytes, when nobody has made it smaller
}

// mountDisk mounts a new one at dir.
func mountDisk(dir string, size int64) (*memDisk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=755", size)); err != nil {
		return nil, fmt.Errorf("mount a file system at %s: %w", dir, err)
	}
	return &memDisk{dir, size}, nil
}

// used is how many bytes are in use.
func (d *memDisk) used() (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", d.dir, err)
	}
	return int64(s.Blocks-s.Bfree) * s.Bsize, nil
}

// leave makes the disk so small that only so many bytes are free. Who writes at the same time
// may be faster; then it is done again.
func (d *memDisk) leave(free int64) error {
	var err error
	for range 20 {
		var used int64
		if used, err = d.used(); err != nil {
			return err
		}
		if err = d.resize(used + free); !errors.Is(err, unix.EINVAL) {
			return err
		}
	}
	return err
}

// heal gives the disk its size again.
func (d *memDisk) heal() error { return d.resize(d.full) }

func (d *memDisk) resize(size int64) error {
	// A size of 0 means no limit (tmpfs(5)).
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", max(size, 4096))); err != nil {
		return fmt.Errorf("resize %s to %d bytes: %w", d.dir, size, err)
	}
	return nil
}

// unmount takes it away with all that is in it.
func (d *memDisk) unmount() error {
	if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", d.dir, err)
	}
	return nil
}
