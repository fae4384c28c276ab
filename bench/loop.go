//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"stowage/internal/nodetest"
)

// loopSize is the size of the file system on a loop device; its file has holes.
const loopSize = 8 << 30

// unmountLoop removes a mounted image when its standard input ends, also after the benchmark
// was killed.
const unmountLoop = `while read -r line; do :; done; umount -l "$1" 2>/dev/null; rm -rf "$1" "$2"`

// mountLoop makes an ext4 file system in a file of the disk and mounts it through a loop
// device. The function that it returns removes both.
func (b *bench) mountLoop(ctx context.Context) (dir string, remove func() error, err error) {
	if dir, err = os.MkdirTemp(b.dskDir, "loop"); err != nil {
		return "", nil, err
	}
	image := dir + ".img"
	janitor, err := nodetest.StartJanitor(unmountLoop, dir, image)
	if err != nil {
		return "", nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, janitor.Finish())
		}
	}()
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return "", nil, err
	}
	if err := os.Truncate(image, loopSize); err != nil {
		return "", nil, err
	}
	for _, args := range [][]string{
		// The kernel would otherwise initialize the file system during the measurements.
		{"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", image},
		{"mount", "-o", "loop", image, dir},
	} {
		if out, err := exec.CommandContext(ctx, args[0], args[1:]...).CombinedOutput(); err != nil {
			return "", nil, fmt.Errorf("%s: %w: %s", filepath.Base(args[0]), err, lastLine(string(out)))
		}
	}
	return dir, janitor.Finish, nil
}
