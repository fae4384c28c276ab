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

// TestMemoryStaysFlat: the built program writes a layer of 2 GiB to standard output in 64 MiB
// of memory. The test of load with the same name measures files and nodes.
func TestMemoryStaysFlat(t *testing.T) {
	if testing.Short() {
		t.Skip("transfers 2 GiB: not with -short")
	}
	t.Parallel()
	h := registrytest.Start(t, registrytest.Options{})
	refs := clitest.Giants(t, h, registrytest.GzipStored)
	sink, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close() // discards everything
	cmd := exec.CommandContext(t.Context(), filepath.Join(clitest.Programs(t), "bundle"), append(refs, "-o", "-", "--platform", "linux/amd64")...)
	cmd.Env = clitest.Environ(t.TempDir())
	cmd.Stdout, cmd.Stderr = sink, os.Stderr
	peak, err := clitest.Peak(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if got := h.Counts().BlobBytes; got < clitest.GiantLayer {
		t.Errorf("%d bytes were sent, want more than %d", got, int64(clitest.GiantLayer))
	}
	t.Logf("peak: %.1f MiB", float64(peak)/(1<<20))
	if peak > clitest.MaxRSS {
		t.Errorf("peak memory: %d MiB, want at most %d", peak>>20, clitest.MaxRSS>>20)
	}
}
