//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"stowage/cmd/internal/clitest"
	"stowage/internal/registrytest"
)

// TestMemoryStaysFlat: a layer of 2 GiB passes through the program as it is built, to
// standard output, in 64 MiB. The way to a file, and on into a node, is measured by the
// test of the same name of load.
func TestMemoryStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("2 GiB pass through: not with -short")
	}
	t.Parallel()
	h := registrytest.Start(t, registrytest.Options{})
	refs := clitest.Giants(t, h, registrytest.GzipStored)
	sink, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close() // nothing is kept there
	cmd := exec.CommandContext(t.Context(), filepath.Join(clitest.Programs(t), "bundle"), append(refs, "-o", "-", "--platform", "linux/amd64")...)
	cmd.Env = clitest.Environ(t.TempDir())
	cmd.Stdout, cmd.Stderr = sink, os.Stderr
	peak, err := clitest.Peak(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Counts().BlobBytes; got < clitest.GiantLayer {
		t.Errorf("%d bytes came, want more than %d", got, int64(clitest.GiantLayer))
	}
	t.Logf("peak: %.1f MiB", float64(peak)/(1<<20))
	if peak > clitest.MaxRSS {
		t.Errorf("peak of memory: %d MiB, want at most %d", peak>>20, clitest.MaxRSS>>20)
	}
}
