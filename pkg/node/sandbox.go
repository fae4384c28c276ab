package node

import (
	"context"
	"fmt"

	"github.com/pelletier/go-toml/v2"
)

// sandboxImage returns the name of the image that the CRI plugin starts every pod
// sandbox from. The CRI plugin reports it until containerd 1.7; after that it is read
// from the daemon's configuration files, and failing that it is the default of this
// version, which its distribution may have changed: then sure is false. The name is empty
// when it is not known.
func (n *Node) sandboxImage(ctx context.Context) (name string, sure bool) {
	if c, err := readCRIConfig(ctx, n.criRuntime); err == nil && c.SandboxImage != "" {
		return c.SandboxImage, true
	}
	if name := sandboxOf(daemonConfigs(n.server.Address)...); name != "" {
		return name, true
	}
	return defaultSandbox(n.server.Version), false
}

// sandboxDefaults are the sandbox images that versions of containerd are built
// with (pkg/cri/config, later internal/cri/config).
var sandboxDefaults = map[string]string{
	"1.6": "registry.k8s.io/pause:3.6",
	"1.7": "registry.k8s.io/pause:3.8",
	"2.4": "registry.k8s.io/pause:3.10.2",
}

// defaultSandbox returns the sandbox image that a version is built with, "" when it is
// not known.
func defaultSandbox(version string) string {
	v, ok := parseVersion(version)
	if !ok {
		return ""
	}
	return sandboxDefaults[fmt.Sprintf("%d.%d", v[0], v[1])]
}

// daemonConfig is the part of a configuration file of containerd that names the sandbox
// image: sandbox_image of the CRI plugin in versions 1 and 2 of the format, sandbox of
// the table pinned_images of its image service since version 3.
type daemonConfig struct {
	Imports []string `toml:"imports"`
	Plugins struct {
		V1 criTable `toml:"cri"`
		V2 criTable `toml:"io.containerd.grpc.v1.cri"`
		V3 struct {
			Pinned struct {
				Sandbox string `toml:"sandbox"`
			} `toml:"pinned_images"`
		} `toml:"io.containerd.cri.v1.images"`
	} `toml:"plugins"`
}

type criTable struct {
	SandboxImage string `toml:"sandbox_image"`
}

// parseDaemonConfig reads a configuration file. One that containerd would not start with
// counts as empty.
func parseDaemonConfig(text []byte) daemonConfig {
	var c daemonConfig
	if toml.Unmarshal(text, &c) != nil {
		return daemonConfig{}
	}
	return c
}

// sandboxOf returns the sandbox image that configuration files set, each of which
// overrides those before it. An empty value sets nothing.
func sandboxOf(configs ...daemonConfig) (sandbox string) {
	for _, c := range configs {
		for _, name := range []string{c.Plugins.V1.SandboxImage, c.Plugins.V2.SandboxImage, c.Plugins.V3.Pinned.Sandbox} {
			if name != "" {
				sandbox = name
			}
		}
	}
	return sandbox
}
