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
	"stowage/internal/registrytest"
)

// TestNodePolicy runs load with a policy file at its place, in a mount namespace of its own and
// without a node: exit code 7 means that the bundle was accepted.
func TestNodePolicy(t *testing.T) {
	t.Parallel()
	unshare, err := exec.LookPath("unshare")
	need.Part(t, "unshare", err)
	need.Root(t, "mount /etc/stowage")
	keygen, err := exec.LookPath("ssh-keygen")
	need.Part(t, "ssh-keygen", err)
	dir := t.TempDir()
	for _, key := range []string{"id", "other"} {
		if out, err := exec.CommandContext(t.Context(), keygen, "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(dir, key)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	h := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(h.AddCalico(registrytest.CalicoOptions{}))(t)
	file := filepath.Join(dir, "app.tar")
	bundle(t, "docker.io/calico/cni:v3.28.0", "-o", file, "--mirror", "docker.io="+h.Host(), "--platform", "linux/amd64")
	bundle(t, "sign", "--key", filepath.Join(dir, "id"), "--sequence", "5", file)
	for _, tt := range []struct {
		name, policy, mode string
		args               []string
		code               int
		want               string
	}{
		{name: "signed", policy: "keys: [id.pub]", code: 7, want: `signed by "/etc/stowage/id.pub"`},
		{name: "another key", policy: "keys: [other.pub]", code: 6, want: "a key that is not trusted"},
		{name: "a flag adds a demand", policy: "keys: [id.pub]", args: []string{"--verify-key", "/etc/stowage/other.pub"}, code: 6, want: "a key that is not trusted"},
		{name: "a flag does not replace a key", policy: "keys: [other.pub]", args: []string{"--verify-key", "/etc/stowage/id.pub"}, code: 6, want: "a key that is not trusted"},
		{name: "revoked", policy: "keys: [id.pub]\nrevoked: [id.pub]", code: 6, want: "revoked key"},
		{name: "number", policy: "keys: [id.pub]\nminimumSequence: 5", code: 7, want: "signed by"},
		{name: "lower number", policy: "keys: [id.pub]\nminimumSequence: 6", code: 6, want: "its number is 5, want 6 or more"},
		{name: "number without a key", policy: "minimumSequence: 6", code: 6, want: "add keys"},
		{name: "images", policy: "images: ['docker.io/calico/*', 'registry.k8s.io/*']", code: 7, want: "connect to containerd"},
		{name: "images below", policy: "images: ['docker.io/*']", code: 7, want: "connect to containerd"},
		{name: "other images", policy: "images: ['quay.io/*', 'docker.io/calic']", code: 6, want: "does not allow the image docker.io/calico/cni:v3.28.0"},
		{name: "key is missing", policy: "keys: [lost.pub]", code: 6, want: "lost.pub: no such file"},
		{name: "misspelt field", policy: "key: [id.pub]", code: 6, want: "field key not found"},
		{name: "not YAML", policy: "keys: [", code: 6, want: "policy.yaml"},
		{name: "others can write", policy: "keys: [id.pub]", mode: "666", code: 6, want: "others can write it"},
		{name: "empty", policy: "", code: 7, want: "connect to containerd"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.mode == "" {
				tt.mode = "644"
			}
			const script = `mkdir -p "$1/etc" && cp -a /etc/. "$1/etc" 2>/dev/null; mkdir -p "$1/etc/stowage" &&
				mount --bind "$1/etc" /etc && cp "$2"/*.pub /etc/stowage/ && printf '%s\n' "$3" > /etc/stowage/policy.yaml &&
				chmod "$4" /etc/stowage/policy.yaml && shift 4 && exec "$@"`
			args := []string{"-m", "--propagation", "private", "sh", "-c", script, "sh", t.TempDir(), dir, tt.policy, tt.mode,
				filepath.Join(clitest.Programs(t), "load"), "--address", filepath.Join(dir, "none.sock"), file}
			cmd := exec.CommandContext(t.Context(), unshare, append(args, tt.args...)...)
			cmd.Env = append(clitest.Environ(t.TempDir()), "PATH="+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != tt.code || !strings.Contains(string(out), tt.want) {
				t.Errorf("exit code %d (%v), want %d and %q:\n%s", code, err, tt.code, tt.want, out)
			}
		})
	}
}
