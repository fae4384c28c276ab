//go:build linux

package nodetest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// configV3 is for containerd 2.x (docs/cri/config.md of containerd, version 3), configV2
// for 1.6 and 1.7. What is shared on a machine is disabled or moved into the directory of
// the node: NRI's socket, /opt/containerd, CNI.
const (
	configV3 = `version = 3
root = "ROOT"
state = "DIR/state"
imports = [IMPORTS]
DISABLED
[grpc]
address = "DIR/c.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "DIR/opt"
[plugins."io.containerd.nri.v1.nri"]
disable = true
`
	criV3 = `[plugins."io.containerd.cri.v1.images".pinned_images]
NAMEDsandbox = "SANDBOX"
[plugins."io.containerd.cri.v1.runtime"]
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["DIR/cni/bin"]
conf_dir = "DIR/cni/net.d"
`
	configV2 = `version = 2
root = "ROOT"
state = "DIR/state"
DISABLED
[grpc]
address = "DIR/c.sock"
[plugins."io.containerd.internal.v1.opt"]
path = "DIR/opt"
`
	criV2 = `[plugins."io.containerd.grpc.v1.cri"]
NAMEDsandbox_image = "SANDBOX"
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "DIR/cni/bin"
conf_dir = "DIR/cni/net.d"
`
)

var versionNumber = regexp.MustCompile(`v?(\d+)\.\d+\.\d+`)

// writeConfig writes the configuration file for the version of containerd.
func (n *Node) writeConfig(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, n.tools.containerd, "--version").Output()
	if err != nil {
		return fmt.Errorf("run %s --version: %w", n.tools.containerd, err)
	}
	text, err := n.configText(string(out))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(n.dir, "cni", "net.d"), 0o755); err != nil {
		return err
	}
	return os.WriteFile(n.ConfigPath(), []byte(text), 0o600)
}

// configText returns the configuration for the containerd that printed version.
func (n *Node) configText(version string) (string, error) {
	m := versionNumber.FindStringSubmatch(version)
	if m == nil {
		return "", fmt.Errorf("version of %s: no number in %q", n.tools.containerd, version)
	}
	text, criText := configV3, criV3
	if m[1] == "1" {
		text, criText = configV2, criV2
	}
	disabled := `disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]`
	if !n.opts.DisableCRI {
		text, disabled = text+criText, ""
	}
	sandbox, named := n.opts.SandboxImage, ""
	switch {
	case sandbox == "" && n.opts.SandboxTar == "":
		named = "# "
	case sandbox == "":
		sandbox = DefaultSandboxImage
	}
	text = strings.NewReplacer("NAMED", named, "IMPORTS", n.opts.Imports, "ROOT", n.Root(), "DIR", n.dir, "DISABLED", disabled, "SANDBOX", sandbox).Replace(text)
	return text + n.opts.Config + "\n", nil
}
