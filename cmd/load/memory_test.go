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

// TestMemoryStaysFlat: layers of 2 GiB, plain and gzip, go from a registry through bundle
// into a file and through load into a node, each program as it is built and in 64 MiB.
func TestMemoryStaysFlat(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("4 GiB pass through both programs: not with -short")
	}
	n := nodetest.Start(t)
	dir := t.TempDir()
	// The bundle, and on the node its blobs and what is unpacked of them.
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

// flat runs a program, wants its memory to stay flat and gives what it printed.
func flat(t *testing.T, home, program string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(clitest.Programs(t), program), args...)
	cmd.Env = clitest.Environ(home)
	var out, told strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &told
	peak, err := clitest.Peak(cmd)
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, told.String())
	}
	t.Logf("%s: peak %.1f MiB", program, float64(peak)/(1<<20))
	if peak > clitest.MaxRSS {
		t.Errorf("%s: peak of memory %d MiB, want at most %d", program, peak>>20, clitest.MaxRSS>>20)
	}
	return out.String()
}
