//go:build !linux

package node

import (
	"errors"

	"stowage/internal/fsutil"
)

// sharesFiles returns false on this system, so containerd unpacks the layers.
func sharesFiles(string, string) bool { return false }

func syncFile(string) error { return errors.ErrUnsupported }

func peer(string) (int, error) { return 0, errors.ErrUnsupported }

func usage(string) (fsutil.Usage, error) { return fsutil.Usage{}, errors.ErrUnsupported }
