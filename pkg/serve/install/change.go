package install

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"stowage/internal/fsutil"
)

// maxFile limits the size of a file that is changed, in bytes.
const maxFile = 1 << 20

// change is what becomes of one file.
type change struct {
	path   string
	before []byte // nil: there is no file
	after  []byte // nil: there will be no file
	done   Done
	dir    bool // the directory is created, or removed if it is empty, as well
}

func (c change) changes() bool {
	return (c.before == nil) != (c.after == nil) || !bytes.Equal(c.before, c.after)
}

func (c change) reversed() change {
	c.before, c.after = c.after, c.before
	return c
}

// read returns the content of a file, nil if there is none.
func (i *installer) read(path string) ([]byte, error) {
	f, err := os.Open(i.at(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxFile+1)) // of an empty file it is not nil
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return raw, err
}

// applyAll makes changes in their order and reports each file. It stops at the first error and
// returns those that were made.
func (i *installer) applyAll(changes []change) (made []change, err error) {
	for _, c := range changes {
		if !c.changes() {
			i.report.Files = append(i.report.Files, File{c.path, Unchanged})
			continue
		}
		if err := i.apply(c); err != nil {
			return made, err
		}
		made = append(made, c)
		i.report.Files = append(i.report.Files, File{c.path, c.done})
	}
	return made, nil
}

// apply makes one change: the file has the old content or the new one at any time. A file
// that has changed since it was read is an error.
func (i *installer) apply(c change) error {
	now, err := i.read(c.path)
	if err != nil {
		return err
	}
	if (now == nil) != (c.before == nil) || !bytes.Equal(now, c.before) {
		return fmt.Errorf("%s: changed by another program at the same time", c.path)
	}
	path, err := fsutil.ResolveOutput(i.at(c.path))
	if err != nil {
		return err
	}
	if c.after == nil {
		return c.remove(path)
	}
	made, err := makeDirs(filepath.Dir(path))
	if err == nil {
		err = replace(path, c.after)
	}
	if err != nil {
		for _, dir := range made {
			os.Remove(dir)
		}
		return fmt.Errorf("write %s: %w", c.path, err)
	}
	return nil
}

// remove removes the file, and its directory if that was created with it.
func (c change) remove(path string) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	dir := filepath.Dir(path)
	if c.dir && os.Remove(dir) == nil { // it stays if it has other files
		dir = filepath.Dir(dir)
	}
	return fsutil.SyncDir(dir)
}

// replace writes a file, which keeps its mode and its owner.
func replace(path string, content []byte) error {
	return fsutil.Replace(path, fsutil.ReplaceOptions{Mode: 0o644}, func(f *os.File) error {
		if old, err := os.Lstat(path); err == nil {
			if err := keepOwner(f, old); err != nil {
				return err
			}
		}
		_, err := f.Write(content)
		return err
	})
}

// makeDirs creates a directory and those above it that are missing, and returns them, the
// deepest first.
func makeDirs(dir string) (made []string, err error) {
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(d); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, d)
	}
	return made, os.MkdirAll(dir, 0o755)
}
