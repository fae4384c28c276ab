//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memDisk is a file system in memory whose size can be changed while it is in use, so that
// it becomes full and has space again.
type memDisk struct {
	dir  string
	full int64 // normal size in bytes
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

// used returns the number of used bytes.
func (d *memDisk) used() (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(d.dir, &s); err != nil {
		return 0, fmt.Errorf("statfs %s: %w", d.dir, err)
	}
	return int64(s.Blocks-s.Bfree) * s.Bsize, nil
}

// leave shrinks the disk so that only that many bytes are free. It repeats this if another
// process has written meanwhile.
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

// heal restores the disk's size.
func (d *memDisk) heal() error { return d.resize(d.full) }

func (d *memDisk) resize(size int64) error {
	// A size of 0 means no limit (tmpfs(5)).
	if err := unix.Mount("tmpfs", d.dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", max(size, 4096))); err != nil {
		return fmt.Errorf("resize %s to %d bytes: %w", d.dir, size, err)
	}
	return nil
}

// unmount unmounts it; its files are lost.
func (d *memDisk) unmount() error {
	if err := unix.Unmount(d.dir, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("unmount %s: %w", d.dir, err)
	}
	return nil
}
