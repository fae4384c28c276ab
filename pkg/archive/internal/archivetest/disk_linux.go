package archivetest

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"stowage/internal/need"
)

// TinyDisk mounts a tmpfs of kib KiB until the test ends.
func TinyDisk(t *testing.T, kib int) string {
	t.Helper()
	need.Root(t, "mount a small tmpfs")
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		need.Missing(t, fmt.Sprintf("mount a small tmpfs: %v", err))
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}
