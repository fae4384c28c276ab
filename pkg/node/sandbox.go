package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"stowage/pkg/node/internal/daemonconfig"
	"stowage/pkg/node/internal/system"
)

// sandboxImage returns the name of the image that the CRI plugin starts every pod sandbox
// from, as containerd spells it. The CRI plugin reports it until containerd 1.7; after that
// it is read from the daemon's configuration files, and failing that it is the default of
// this version, which its distribution may have changed. named says that the files name one.
// The name is empty when it is not known.
func (n *Node) sandboxImage(ctx context.Context) (name string, named bool) {
	name = daemonConfig(n.server.Address).Sandbox
	named = name != ""
	if c, err := n.readCRIConfig(ctx); err == nil && c.SandboxImage != "" {
		name = c.SandboxImage
	} else if !named {
		name = defaultSandbox(n.server.Version)
	}
	if ref, err := reference.ParseDockerRef(name); err == nil {
		name = ref.String()
	}
	return name, named
}

// handlers returns the runtime handlers whose containers containerd creates in another
// snapshotter than the one of the node, by that snapshotter, each sorted. The default
// handler is "".
func (n *Node) handlers(ctx context.Context) (map[string][]string, error) {
	c, err := n.readCRIConfig(ctx)
	if err != nil {
		return nil, err
	}
	all := map[string][]string{}
	add := func(handler, snapshotter string) {
		if snapshotter != n.snapshotter.name {
			all[snapshotter] = append(all[snapshotter], handler)
		}
	}
	add("", n.defaultSnapshotter)
	for _, handler := range slices.Sorted(maps.Keys(c.Containerd.Runtimes)) {
		if s := c.Containerd.Runtimes[handler].Snapshotter; s != "" {
			add(handler, s)
		}
	}
	return all, nil
}

// judgeHandlers adds which images the containers of a runtime handler cannot use, because
// they are not unpacked in its snapshotter and their layers are gone. As long as the layers
// are there, containerd unpacks them when it creates the container (WithNewSnapshot in
// internal/cri/opts/container.go): then only the first start is slow.
func (n *Node) judgeHandlers(ctx context.Context, r *Report, imgs []*image) error {
	if n.criRuntime == nil {
		return nil
	}
	handlers, err := n.handlers(ctx)
	if err != nil {
		return err
	}
	for _, snapshotter := range slices.Sorted(maps.Keys(handlers)) {
		who := "the default runtime handler"
		if names := strings.Trim(strings.Join(handlers[snapshotter], ", "), ", "); names != "" {
			who = "runtime handler " + names
		}
		for _, img := range imgs {
			usable, err := n.startsIn(ctx, img, snapshotter)
			if err != nil {
				return err
			}
			if usable {
				continue
			}
			for i := range r.Images {
				if out := &r.Images[i]; slices.Contains(img.names, out.Name) && out.Kubelet != KubeletNotReady {
					r.refuse(out, CauseHandler, "not in snapshotter "+snapshotter,
						fmt.Sprintf("%s uses the snapshotter %s, in which the image is not unpacked, and its layers are not kept", who, snapshotter))
				}
			}
		}
	}
	return nil
}

// startsIn reports whether containerd can create a container of the image in a snapshotter.
func (n *Node) startsIn(ctx context.Context, img *image, snapshotter string) (bool, error) {
	if len(img.layers) == 0 {
		return true, nil
	}
	switch _, err := n.client.SnapshotService(snapshotter).Stat(ctx, img.top().String()); {
	case err == nil:
		return true, nil
	case !errdefs.IsNotFound(err):
		return false, fmt.Errorf("look for a snapshot of %s in %s: %w", img.names[0], snapshotter, err)
	}
	for _, l := range img.layers {
		switch _, err := n.content.Info(ctx, l.Digest); {
		case errdefs.IsNotFound(err):
			return false, nil
		case err != nil:
			return false, fmt.Errorf("look for a layer of %s: %w", img.names[0], err)
		}
	}
	return true, nil
}

// daemonConfig returns what the configuration files of the containerd behind the socket say,
// nothing if they cannot be found from here.
func daemonConfig(address string) daemonconfig.Config {
	pid, err := system.Peer(address)
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
