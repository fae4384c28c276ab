//go:build unix && !solaris && !illumos && !aix

package fsutil

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Lock locks f for this process without waiting; [ErrLocked] when another process holds
// the lock. Closing f releases it, as does the kernel when the process dies. On a file
// system without locks Lock does nothing.
func Lock(f *os.File) error {
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EWOULDBLOCK):
			return ErrLocked
		case errors.Is(err, unix.ENOLCK), errors.Is(err, unix.ENOTSUP), errors.Is(err, unix.ENOSYS):
			return nil
		default:
			return err
		}
	}
}

// Writable returns an error when this process may not create files in dir.
func Writable(dir string) error {
	if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "write to", Path: dir, Err: err}
	}
	return nil
}

// SyncDir makes the names in dir survive a power cut. File systems that cannot sync a
// directory are no error.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}
