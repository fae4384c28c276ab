package fsutil

import (
	"fmt"
	"io/fs"
	"os"
)

// NotOwnError reports a file that another user may have prepared or can change, in a
// directory that is shared.
type NotOwnError struct {
	Path   string
	Reason string // "is a symbolic link", "belongs to uid 1001"
}

// Error returns the path and the reason.
func (e *NotOwnError) Error() string { return fmt.Sprintf("%s %s", e.Path, e.Reason) }

// OpenOwn is [os.OpenFile] for a file that only this user can have made: it does not follow
// a symbolic link at path, and returns a [*NotOwnError], with nothing changed, for what is
// not a regular file, belongs to another user, or has a second name. flag must not
// truncate.
func OpenOwn(path string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := openNoFollow(path, flag, perm)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = checkOwn(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// KeepMode sets the mode of f, which is about to replace the file at path, to the mode of
// that file. It does nothing when there is none. From the file of another user it takes no
// permission to write for the group and others.
func KeepMode(f *os.File, path string) error {
	old, err := os.Lstat(path)
	if err != nil || !old.Mode().IsRegular() {
		return nil
	}
	mode := old.Mode().Perm()
	if checkOwn(path, old) != nil {
		mode &^= 0o022
	}
	if now, err := f.Stat(); err == nil && now.Mode().Perm() == mode {
		return nil // a file system without modes may refuse any change
	}
	return f.Chmod(mode)
}

// ResolveOutput returns the path at which the file path is replaced: path itself, or the
// target of the symbolic link there. A link that belongs to another user than this one and
// root is a [*NotOwnError].
func ResolveOutput(path string) (string, error) {
	const most = 40 // links in a row, as Linux
	for range most {
		info, err := os.Lstat(path)
		if err != nil || info.Mode()&fs.ModeSymlink == 0 {
			return path, nil // the caller reports what else is wrong
		}
		if !ownLink(path, info) {
			return "", &NotOwnError{Path: path, Reason: "is a symbolic link of another user"}
		}
		if path, err = linkTarget(path); err != nil {
			return "", err
		}
	}
	return "", fmt.Errorf("%s: more than %d symbolic links", path, most)
}
