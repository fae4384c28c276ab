package imagedir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"stowage/internal/fsutil"
)

// stagingPattern names the copy while it is written (see [os.CreateTemp]). Its process holds
// a lock on it, so that another one recognises a copy that a killed process left.
const stagingPattern = ".stowage-*.partial"

// stagingDir returns where the copy is written: the parent of the image directory, because
// k0s imports every file that appears in it (pkg/component/worker/ocibundle.go of k0s). If
// the parent is another file system or not writable, it is the image directory itself; k3s
// and RKE2 skip files with an extension they do not know.
func stagingDir(dir string) string {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return dir
	}
	parent := filepath.Dir(real)
	p, errP := fsutil.Stat(parent)
	d, errD := fsutil.Stat(real)
	if errP != nil || errD != nil || p.Device != d.Device || fsutil.Writable(parent) != nil {
		return dir
	}
	return parent
}

// lockStaged locks the copy that this process has begun until the file is closed. It opens
// the copy once more: the lock lasts while the copy is closed and checked.
func lockStaged(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err == nil {
		err = fsutil.Lock(f)
	}
	if err != nil {
		f.Close() // a nil file too
		return nil, fmt.Errorf("lock the copy: %w", err)
	}
	return f, nil
}

// removeStale removes from directories the copies of processes that were killed: those that
// no process has locked.
func removeStale(dirs ...string) error {
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if ok, _ := filepath.Match(stagingPattern, e.Name()); !ok || !e.Type().IsRegular() {
				continue
			}
			if err := removeUnlocked(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("remove what an earlier run left: %w", err)
			}
		}
	}
	return nil
}

// removeUnlocked removes a copy that no process has locked. An empty one may have been
// created a moment ago, with its lock to follow.
func removeUnlocked(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its process has ended
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 && time.Since(info.ModTime()) < time.Minute {
		return err
	}
	if err := fsutil.Lock(f); err != nil {
		return nil // of a process that is at work
	}
	if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
