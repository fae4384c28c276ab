//go:build linux

package main

import (
	"os"
	"path/filepath"
	"testing"

	"stowage/internal/need"
)

// TestMountLoop checks the file system of a loop device, and that nothing of it is left.
func TestMountLoop(t *testing.T) {
	need.Root(t, "mount a loop device")
	b := &bench{dskDir: t.TempDir()}
	dir, remove, err := b.mountLoop(t.Context())
	if err != nil {
		need.Missing(t, err)
	}
	if got := fileSystem(dir); got != "ext4" {
		t.Errorf("the file system is %s, want ext4", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("text"), 0o600); err != nil {
		t.Error(err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(b.dskDir, "*")); len(left) > 0 || err != nil {
		t.Errorf("left: %v, %v", left, err)
	}
}
