//go:build linux

package main

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"stowage/cmd/internal/clitest"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

func TestMain(m *testing.M) {
	clitest.Main(m, map[string]func(){"load": main})
}

// TestScripts runs the scripts that need no node.
func TestScripts(t *testing.T) {
	clitest.Run(t, "testdata/plain", nil, map[string]string{"BUNDLE": filepath.Join(clitest.Programs(t), "bundle"), "LOAD": filepath.Join(clitest.Programs(t), "load")})
}

// TestNodeScripts runs the scripts with a real containerd, which they share; each has its own
// image names.
func TestNodeScripts(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t, nodetest.Options{SandboxTar: sandbox(t)})
	calico, err := filepath.Abs("../../examples/calico.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// The outer test ends, and stops the node, when all parallel scripts have ended.
	t.Run("node", func(t *testing.T) {
		clitest.Run(t, "testdata/node", map[string]clitest.Cmd{"node": clitest.NodeCommand(n)}, map[string]string{
			"CALICO": calico, "NODE": n.Address(), "CONTAINERD_ADDRESS": n.Address(),
			"BUNDLE": filepath.Join(clitest.Programs(t), "bundle"), "LOAD": filepath.Join(clitest.Programs(t), "load"),
		})
	})
}

// sandbox returns a bundle with the sandbox image, which a pod needs to start.
func sandbox(t *testing.T) string {
	t.Helper()
	program, err := registrytest.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(h.AddPause(map[string][]byte{runtime.GOARCH: program}))(t)
	dir := t.TempDir()
	out := filepath.Join(dir, "pause.tar")
	bundle(t, nodetest.DefaultSandboxImage, "-o", out, "--mirror", "registry.k8s.io="+h.Host())
	return out
}

// bundle runs the built program.
func bundle(t *testing.T, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(clitest.Programs(t), "bundle"), args...)
	cmd.Env = clitest.Environ(t.TempDir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("bundle %v: %v\n%s", args, err, out)
	}
}
