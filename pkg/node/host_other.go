//go:build !linux

package node

import (
	"errors"

	"stowage/internal/fsutil"
)

// sharesFiles returns false on this system, so containerd unpacks the layers.
func sharesFiles(string, string) bool { return false }

func syncFile(string) error { return errors.ErrUnsupported }

func daemonConfigs(string) []daemonConfig { return nil }

func usage(string) (fsutil.Usage, error) { return fsutil.Usage{}, errors.ErrUnsupported }
