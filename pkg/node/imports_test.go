//go:build linux

package node

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/nodetest"
)

// TestSandboxImageOfDaemon compares the result with the image that containerd itself reads from
// its files: each version of the format, imported by path and by pattern.
func TestSandboxImageOfDaemon(t *testing.T) {
	t.Parallel()
	v2 := "version = 2\nimports = ['nested.toml']\n[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = '127.0.0.1:9/v2/pause:2'\n"
	v3 := "version = 3\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = '127.0.0.1:9/v3/pause:3'\n"
	empty := "version = 2\n"
	const main = "127.0.0.1:9/main/pause:1" // nothing listens there
	for _, tt := range []struct {
		name, imports string
		files         map[string]string
		want          string
	}{
		{"nothing", "", nil, main},
		{"a pattern, version 3", `"DIR/conf.d/*.toml"`, map[string]string{"conf.d/10.toml": v3}, "127.0.0.1:9/v3/pause:3"},
		{"a path, version 2", `"DIR/two.toml"`, map[string]string{"two.toml": v2, "nested.toml": empty}, "127.0.0.1:9/v2/pause:2"},
		{"the last counts", `"DIR/two.toml", "DIR/conf.d/*.toml"`, map[string]string{"two.toml": v2, "nested.toml": empty, "conf.d/10.toml": v3}, "127.0.0.1:9/v3/pause:3"},
		{"the imports of imports", `"DIR/two.toml"`, map[string]string{"two.toml": v2, "nested.toml": v3}, "127.0.0.1:9/v3/pause:3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			must(t, os.Mkdir(filepath.Join(dir, "conf.d"), 0o755))
			for name, text := range tt.files {
				must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
			}
			machine, n := connect(t, nodetest.Options{SandboxImage: main, Imports: strings.ReplaceAll(tt.imports, "DIR", dir)})
			if v, _ := parseVersion(n.server.Version); v[0] < 2 {
				t.Skip("before containerd 2 the CRI plugin reports it")
			}
			if got, _ := n.sandboxImage(t.Context()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := wantedSandbox(t, machine); got != tt.want {
				t.Errorf("the daemon wants %q, not %q", got, tt.want)
			}
		})
	}
}

var sandboxInError = regexp.MustCompile(`failed to pull image "([^"]+)"`)

// wantedSandbox returns the sandbox image that the CRI plugin pulls, from the error of that
// pull.
func wantedSandbox(t *testing.T, machine *nodetest.Node) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := machine.Runtime().RunPodSandbox(ctx, &cri.RunPodSandboxRequest{Config: &cri.PodSandboxConfig{
		Metadata: &cri.PodSandboxMetadata{Name: "p", Uid: "u", Namespace: "default"},
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
		}},
	}})
	m := sandboxInError.FindStringSubmatch(fmt.Sprint(err))
	if m == nil {
		t.Fatalf("a pod without a sandbox image: %v", err)
	}
	return m[1]
}
