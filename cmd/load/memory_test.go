//go:build linux

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stowage/cmd/internal/clitest"
	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// TestMemoryStaysFlat: the built programs move layers of 2 GiB, plain and gzip, from a registry
// to a file and from there to a node, each in 64 MiB of memory.
func TestMemoryStaysFlat(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("transfers 4 GiB with both programs: not with -short")
	}
	n := nodetest.Start(t)
	dir := t.TempDir()
	// The bundle, and on the node its blobs and their unpacked files.
	need.Space(t, dir, 3*2*clitest.GiantLayer+1<<30)
	h := registrytest.Start(t, registrytest.Options{})
	refs := clitest.Giants(t, h, registrytest.None, registrytest.GzipStored)
	file := filepath.Join(dir, "giant.tar")
	flat(t, dir, "bundle", append(refs, "-o", file, "--platform", "linux/amd64")...)
	if info, err := os.Stat(file); err != nil || info.Size() < 2*clitest.GiantLayer {
		t.Fatalf("the bundle: %v, %v", info, err)
	}
	out := flat(t, dir, "load", "--address", n.Address(), file)
	if got := strings.Count(out, " loaded "); got != len(refs) {
		t.Errorf("%d images loaded, want %d:\n%s", got, len(refs), out)
	}
}

// flat runs a program, checks its peak memory and returns its output.
func flat(t *testing.T, home, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(clitest.Programs(t), program), args...)
	cmd.Env = clitest.Environ(home)
	var out, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &stderr
	peak, err := clitest.Peak(cmd)
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, stderr.String())
	}
	t.Logf("%s: peak %.1f MiB", program, float64(peak)/(1<<20))
	if peak > clitest.MaxRSS {
		t.Errorf("%s: peak memory %d MiB, want at most %d", program, peak>>20, clitest.MaxRSS>>20)
	}
	return out.String()
}
