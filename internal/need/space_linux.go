package need

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
)

// Space ends the test unless the file system of dir has that many bytes free.
func Space(t testing.TB, dir string, bytes int64) {
	t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		t.Fatalf("free space of %s: %v", dir, err)
	}
	if free := int64(st.Bavail) * int64(st.Bsize); free < bytes {
		Missing(t, fmt.Sprintf("disk space is missing: %s has %d MiB free, the test needs %d MiB", filepath.Clean(dir), free>>20, bytes>>20))
	}
}
