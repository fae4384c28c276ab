//go:build !linux

package fsutil

import (
	"errors"
	"os"
)

// Stat returns [errors.ErrUnsupported] on this system.
func Stat(string) (Usage, error) { return Usage{}, errors.ErrUnsupported }

// Free returns false on this system: a full disk is found by writing.
func Free(string) (int64, bool) { return 0, false }

// Allocated returns 0 on this system.
func Allocated(*os.File) int64 { return 0 }

// Reserve makes f size bytes long.
func Reserve(f *os.File, size int64) error { return f.Truncate(size) }

// Punch does nothing on this system.
func Punch(*os.File, int64, int64) {}
