//go:build !linux

package node

import (
	"context"
	"errors"
	"io"
	"stowage/internal/fsutil"

	"github.com/containerd/containerd/v2/core/mount"
)

// errNotHere is never seen: without shared files nothing below is called.
var errNotHere = errors.New("only on Linux")

// sharesFiles is false: containerd unpacks.
func sharesFiles(string, string) bool { return false }

type extraction struct{}

func extractionOf([]mount.Mount, string, bool) (extraction, bool) { return extraction{}, false }

func (extraction) extract(context.Context, io.Reader, *sizes) error { return errNotHere }

func syncFile(string) error { return errNotHere }

func daemonConfigs(string) []daemonConfig { return nil }

func usage(string) (fsutil.Usage, error) { return fsutil.Usage{}, errNotHere }
