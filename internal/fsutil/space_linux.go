package fsutil

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Stat returns the usage of the file system of path, which must exist.
func Stat(path string) (Usage, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return Usage{}, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return Usage{}, &os.PathError{Op: "statfs", Path: path, Err: err}
	}
	u := Usage{
		Device: uint64(st.Dev), Size: int64(fs.Blocks) * int64(fs.Bsize), Free: int64(fs.Bavail) * int64(fs.Bsize),
		Block: int64(fs.Bsize), Inodes: int64(fs.Files), Unused: int64(fs.Ffree),
	}
	if fs.Blocks > 0 {
		u.Used = 100 - int(fs.Bavail*100/fs.Blocks)
	}
	return u, nil
}

// Free returns the bytes that an unprivileged user may still write below dir; false when
// the file system does not say.
func Free(dir string) (int64, bool) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Blocks == 0 {
		return 0, false
	}
	return int64(st.Bavail) * int64(st.Bsize), true
}

// Allocated returns the bytes that f occupies on its disk, 0 when unknown.
func Allocated(f *os.File) int64 {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0
	}
	return st.Blocks * 512
}

// Reserve makes f size bytes long and, where the file system supports it, allocates the
// space at once: a full disk is reported before the first byte is downloaded.
func Reserve(f *os.File, size int64) error {
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
			return nil // done, or not supported by this file system
		}
	}
}

// Punch frees the space of a range of f where the file system supports it. The range
// reads as zeros then.
func Punch(f *os.File, off, n int64) {
	_ = unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}
