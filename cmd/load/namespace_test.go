//go:build linux

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stowage/cmd/internal/clitest"
	"stowage/internal/need"
	"stowage/internal/nodetest"
)

// TestMountNamespace runs load where it cannot see containerd's directory: in a container, a
// pod, nsenter. containerd unpacks then, and load warns.
func TestMountNamespace(t *testing.T) {
	t.Parallel()
	unshare, err := exec.LookPath("unshare")
	need.Part(t, "unshare", err)
	n := nodetest.Start(t, nodetest.Options{SandboxTar: sandbox(t)})
	for _, s := range brokenStreams(t)[:2] {
		for _, from := range []string{"-", s.file} {
			t.Run(s.name+" from "+filepath.Base(from), func(t *testing.T) {
				hidden := `mount -t tmpfs none "$1" && cd "$1" && touch canary && shift && "$@" && ls -A`
				cmd := exec.CommandContext(t.Context(), unshare, "-m", "--propagation", "private", "sh", "-c", hidden, "sh", n.Root(),
					filepath.Join(clitest.Programs(t), "load"), "--address", n.Address(), from)
				cmd.Env = clitest.Environ(t.TempDir())
				in, err := os.Open(s.file)
				if err != nil {
					t.Fatal(err)
				}
				defer in.Close()
				cmd.Stdin = struct{ io.Reader }{in}
				out, err := cmd.CombinedOutput()
				if err != nil || !strings.Contains(string(out), "containerd unpacked the layers itself") || !strings.HasSuffix(string(out), "\ncanary\n") {
					t.Errorf("load: %v, want a warning that containerd unpacked, and no file but the canary\n%s", err, out)
				}
				for _, name := range s.images {
					if out, err := n.RunContainer(t.Context(), name); err != nil || !strings.HasPrefix(out, "hello from") {
						t.Errorf("container of %s: %q, %v", name, out, err)
					}
				}
				if left, err := n.Leftovers(t.Context()); err != nil || len(left) > 0 {
					t.Errorf("remains: %v, %v", left, err)
				}
				if err := n.Wipe(t.Context(), nodetest.DefaultSandboxImage); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}
