package fsutil

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ReplaceOptions are the options of [Replace]. The zero value works.
type ReplaceOptions struct {
	// Dir is where the file is written before it is renamed, on the file system of the
	// target. Empty means the target's directory.
	Dir string
	// Pattern names the temporary file (see [os.CreateTemp]). Empty means a hidden name
	// made of the target's.
	Pattern string
	// Mode is the mode of a file that does not replace another, less the umask. 0 means
	// 0644.
	Mode fs.FileMode
	// Check, if not nil, sees the path of the complete, synced file before the rename.
	Check func(path string) error
}

// Replace creates or replaces the file at path with what write writes. The file appears
// at path complete and synced, or not at all: after an error the file that was there before
// is unchanged and the temporary one is removed. A file that is replaced keeps its mode
// ([KeepMode]), a new one has that of Mode.
func Replace(path string, opts ReplaceOptions, write func(*os.File) error) (err error) {
	dir := filepath.Dir(path)
	if opts.Dir == "" {
		opts.Dir = dir
	}
	if opts.Pattern == "" {
		opts.Pattern = "." + filepath.Base(path) + ".*"
	}
	f, err := os.CreateTemp(opts.Dir, opts.Pattern)
	if err != nil {
		return err
	}
	defer func() {
		f.Close() // closed already unless something failed
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if opts.Mode == 0 {
		opts.Mode = 0o644
	}
	if err := errors.Join(f.Chmod(opts.Mode.Perm()&^umask), KeepMode(f, path), f.Sync(), f.Close()); err != nil {
		return err
	}
	if opts.Check != nil {
		if err := opts.Check(f.Name()); err != nil {
			return err
		}
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}
