package node

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// sandboxImage gives the name of the image that every pod needs besides its
// own: from the CRI plugin (until 1.7 it tells), from the daemon's configuration
// file, else the default of this version. Empty: not known.
func (n *Node) sandboxImage(ctx context.Context) string {
	if c, err := n.criConfig(ctx); err == nil && c.SandboxImage != "" {
		return c.SandboxImage
	}
	if name := sandboxOf(daemonConfig(n.server.Address)); name != "" {
		return name
	}
	return defaultSandbox(n.server.Version)
}

// sandboxDefaults are the sandbox images that versions of containerd are built
// with (pkg/cri/config, later internal/cri/config).
var sandboxDefaults = map[string]string{
	"1.6": "registry.k8s.io/pause:3.6",
	"1.7": "registry.k8s.io/pause:3.8",
	"2.4": "registry.k8s.io/pause:3.10.2",
}

func defaultSandbox(version string) string {
	v, ok := parseVersion(version)
	if !ok {
		return ""
	}
	return sandboxDefaults[fmt.Sprintf("%d.%d", v[0], v[1])]
}

var (
	tomlTable   = regexp.MustCompile(`^\s*\[([^\[\]]+(\[[^\]]*\])?[^\[\]]*)\]`)
	tomlSandbox = regexp.MustCompile(`^\s*(sandbox_image|sandbox)\s*=\s*["']([^"']+)["']`)
)

// sandboxOf finds the sandbox image in a configuration file: sandbox_image of
// version 2, sandbox in the table pinned_images since version 3. Reading two
// keys line by line spares a TOML library.
func sandboxOf(config string) string {
	table := ""
	for line := range strings.Lines(config) {
		if m := tomlTable.FindStringSubmatch(line); m != nil {
			table = m[1]
		}
		m := tomlSandbox.FindStringSubmatch(line)
		if m != nil && (m[1] == "sandbox_image" || strings.HasSuffix(strings.Trim(table, ` "'`), "pinned_images")) {
			return m[2]
		}
	}
	return ""
}
