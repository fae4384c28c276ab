//go:build unix

package fsutil

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

func openNoFollow(path string, flag int, perm fs.FileMode) (*os.File, error) {
	// O_NONBLOCK: opening a FIFO must not wait for its writer. It has no effect on files.
	f, err := os.OpenFile(path, flag|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, perm)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK) { // EMLINK on FreeBSD
		return nil, &NotOwnError{Path: path, Reason: "is a symbolic link"}
	}
	return f, err
}

// checkOwn returns a [*NotOwnError] for what is not a regular file of this user with one
// name.
func checkOwn(path string, info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.Mode().IsRegular():
		return &NotOwnError{Path: path, Reason: "is not a regular file"}
	case !ok:
		return nil
	case stat.Nlink > 1:
		return &NotOwnError{Path: path, Reason: "has another name (a hard link)"}
	case !isOwner(filepath.Dir(path), stat.Uid):
		return &NotOwnError{Path: path, Reason: fmt.Sprintf("belongs to uid %d", stat.Uid)}
	}
	return nil
}

// isOwner reports whether files that this process creates in dir belong to uid. A network
// file system may store them under another one than the process has.
func isOwner(dir string, uid uint32) bool {
	if int64(uid) == int64(os.Geteuid()) {
		return true
	}
	f, err := os.CreateTemp(dir, ".owner-*")
	if err != nil {
		return false
	}
	defer os.Remove(f.Name())
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == uid
}

func ownLink(path string, info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return !ok || stat.Uid == 0 || isOwner(filepath.Dir(path), stat.Uid)
}

func linkTarget(path string) (string, error) {
	target, err := os.Readlink(path)
	if err != nil || filepath.IsAbs(target) {
		return target, err
	}
	// Not [filepath.Join], which would remove a ".." after a link to a directory.
	return filepath.Dir(path) + string(filepath.Separator) + target, nil
}

// umask is the umask of the process. The system call that reads it also sets it, so it is
// read once, before any other goroutine can create a file.
var umask = func() fs.FileMode {
	mask := syscall.Umask(0)
	syscall.Umask(mask)
	return fs.FileMode(mask)
}()
