package archive

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// freeSpace gives the bytes an ordinary user may still write below dir.
func freeSpace(dir string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Blocks == 0 {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

// allocated gives the bytes a file takes on its disk.
func allocated(f *os.File) int64 {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0
	}
	return st.Blocks * 512
}

// reserve makes f size bytes long and, where the file system can, takes the space at
// once: a full disk shows now and not after an hour of pulling.
func reserve(f *os.File, size int64) error {
	if err := f.Truncate(size); err != nil {
		return err
	}
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG), errors.Is(err, unix.EIO):
			return &os.PathError{Op: "fallocate", Path: f.Name(), Err: err}
		default:
			return nil // done, or not supported here
		}
	}
}

// punch gives the space of a range back, if the file system can.
func punch(f *os.File, off, n int64) {
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}
