//go:build !unix

package fsutil

import (
	"io/fs"
	"os"
	"path/filepath"
)

func openNoFollow(path string, flag int, perm fs.FileMode) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, &NotOwnError{Path: path, Reason: "is a symbolic link"}
	}
	return os.OpenFile(path, flag, perm)
}

// checkOwn returns a [*NotOwnError] for what is not a regular file. Owners are not looked at.
func checkOwn(path string, info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return &NotOwnError{Path: path, Reason: "is not a regular file"}
	}
	return nil
}

func ownLink(string, fs.FileInfo) bool { return true }

func linkTarget(path string) (string, error) { return filepath.EvalSymlinks(path) }

const umask fs.FileMode = 0
