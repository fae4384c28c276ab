package node

import (
	"context"
	"fmt"

	"github.com/distribution/reference"

	"stowage/pkg/node/internal/daemonconfig"
)

// sandboxImage returns the name of the image that the CRI plugin starts every pod sandbox
// from, as containerd spells it. The CRI plugin reports it until containerd 1.7; after that
// it is read from the daemon's configuration files, and failing that it is the default of
// this version, which its distribution may have changed. named says that the files name one.
// The name is empty when it is not known.
func (n *Node) sandboxImage(ctx context.Context) (name string, named bool) {
	name = daemonConfig(n.server.Address).Sandbox
	named = name != ""
	if c, err := readCRIConfig(ctx, n.criRuntime); err == nil && c.SandboxImage != "" {
		name = c.SandboxImage
	} else if !named {
		name = defaultSandbox(n.server.Version)
	}
	if ref, err := reference.ParseDockerRef(name); err == nil {
		name = ref.String()
	}
	return name, named
}

// daemonConfig returns what the configuration files of the containerd behind the socket say,
// nothing if they cannot be found from here.
func daemonConfig(address string) daemonconfig.Config {
	pid, err := peer(address)
	if err != nil || pid <= 0 {
		return daemonconfig.Config{}
	}
	c, err := daemonconfig.Of(pid)
	if err != nil {
		return daemonconfig.Config{}
	}
	return c
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

// SandboxImage returns the name of the image from which containerd starts every pod's
// sandbox, or "" when it is not known.
func (n *Node) SandboxImage(ctx context.Context) string {
	name, _ := n.sandboxImage(ctx)
	return name
}
