//go:build !linux

package system

import (
	"errors"

	"stowage/internal/fsutil"
)

// SharesFiles returns false on this system, so containerd unpacks the layers.
func SharesFiles(string, string) bool { return false }

// SyncFile is not supported on this system.
func SyncFile(string) error { return errors.ErrUnsupported }

// Peer is not supported on this system.
func Peer(string) (int, error) { return 0, errors.ErrUnsupported }

// Usage is not supported on this system.
func Usage(string) (fsutil.Usage, error) { return fsutil.Usage{}, errors.ErrUnsupported }
