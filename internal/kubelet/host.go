package kubelet

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFile limits a file of the configuration, and what is read of a process, in bytes.
const maxFile = 1 << 20

// errTooLarge is the error of a file that exceeds maxFile.
var errTooLarge = fmt.Errorf("larger than %d bytes", maxFile)

// root is the root directory of the paths of a process: "" for those of this process, else
// /proc/PID/root.
type root string

// path returns the path of name below r. Symbolic links are resolved as the process resolves
// them: an absolute one begins at r again, and none leaves r. A name that does not exist is
// returned as it is, below r.
func (r root) path(name string) string {
	if r == "" {
		return name
	}
	const most = 40 // links in all, as Linux
	done, links := "/", 0
	for rest := strings.Split(filepath.Clean("/"+name), "/"); len(rest) > 0; {
		part := rest[0]
		rest = rest[1:]
		if part == "" || part == "." {
			continue
		}
		next := filepath.Join(done, part) // ".." stops at "/"
		target, err := os.Readlink(string(r) + next)
		if links++; err != nil || links > most {
			done = next
			continue
		}
		if filepath.IsAbs(target) {
			done = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	return string(r) + done
}

// read returns the contents of a file, which must be regular.
func (r root) read(name string) ([]byte, error) {
	return readFile(r.path(name))
}

// exists reports whether there is a file or directory of this name.
func (r root) exists(name string) bool {
	_, err := os.Stat(r.path(name))
	return err == nil
}

// same reports whether name below r is the file or directory at path.
func (r root) same(name, path string) bool {
	a, err := os.Stat(r.path(name))
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// readFile reads a regular file of at most maxFile bytes. The error has no path.
func readFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		return nil, withoutPath(err)
	}
	return readSome(path)
}

// readSome reads a file of at most maxFile bytes, also one of /proc.
func readSome(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, withoutPath(err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, withoutPath(err)
	}
	if len(b) > maxFile {
		return nil, errTooLarge
	}
	return b, nil
}

// withoutPath returns the cause of an error of os: the caller names the file.
func withoutPath(err error) error {
	var at *fs.PathError
	if errors.As(err, &at) {
		return at.Err
	}
	return err
}
