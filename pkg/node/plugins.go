package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// The plugin types a load looks at (plugins/types.go of containerd). Before
// 2.0 the CRI plugin was one, afterwards criPart are its parts.
const (
	criPlugin         = "io.containerd.grpc.v1" // with the ID "cri"
	criPart           = "io.containerd.cri.v1"
	contentPlugin     = "io.containerd.content.v1"
	snapshotterPlugin = "io.containerd.snapshotter.v1"
	runtimePlugin     = "io.containerd.runtime.v2"
)

// plugin is one entry of containerd's introspection service.
type plugin struct {
	kind, id     string
	platforms    []ocispec.Platform
	exports      map[string]string
	capabilities []string
	err          error // why it did not start
}

// listPlugins asks containerd for its plugins.
func listPlugins(ctx context.Context, c *client.Client) ([]plugin, error) {
	resp, err := c.IntrospectionService().Plugins(ctx)
	if err != nil {
		return nil, err
	}
	var all []plugin
	for _, p := range resp.Plugins {
		one := plugin{kind: p.Type, id: p.ID, exports: p.Exports, capabilities: p.Capabilities}
		for _, pl := range p.Platforms {
			one.platforms = append(one.platforms, ocispec.Platform{OS: pl.OS, Architecture: pl.Architecture, Variant: pl.Variant})
		}
		if p.InitErr != nil {
			one.err = errors.New(p.InitErr.Message)
		}
		all = append(all, one)
	}
	return all, nil
}

// criState tells whether there is a CRI plugin and why it does not work. The
// parts are named first: they hold the cause when the whole fails.
func criState(plugins []plugin) (bool, error) {
	there := false
	var errs []error
	for _, p := range plugins {
		isCRI := p.kind == criPlugin && p.id == "cri"
		there = there || isCRI
		if (isCRI || p.kind == criPart) && p.err != nil {
			errs = append(errs, fmt.Errorf("plugin %s.%s: %w", p.kind, p.id, p.err))
		}
	}
	return there || len(errs) > 0, errors.Join(errs...)
}

// platform is what the runtime of the node runs; the CRI plugin uses the same.
func (d *daemon) platform() string {
	for _, p := range d.plugins {
		if p.kind == runtimePlugin && len(p.platforms) > 0 {
			return platforms.FormatAll(platforms.Normalize(p.platforms[0]))
		}
	}
	return platforms.FormatAll(platforms.DefaultSpec())
}

// contentRoot is the folder of the content store as containerd sees it.
func (d *daemon) contentRoot() string {
	for _, p := range d.plugins {
		if p.kind == contentPlugin {
			return p.exports["root"]
		}
	}
	return ""
}

// snapshotter is the plugin that unpacked layers go to.
type snapshotter struct {
	name string
	root string // its folder as containerd sees it, empty for a remote one
	// rebase: a snapshot may get its parent when it is committed, so that the
	// layers of one image unpack side by side. Servers that do not announce it
	// ignore the parent in silence and keep a root file system with one layer.
	rebase bool
}

// extractable tells whether the package knows the layout of the snapshotter's
// files well enough to write into them.
func (s snapshotter) extractable() bool {
	return s.root != "" && (s.name == "overlayfs" || s.name == "native")
}

// findSnapshotter looks the snapshotter up, by default the CRI plugin's own.
func (n *Node) findSnapshotter(ctx context.Context, d *daemon, name string) (snapshotter, error) {
	if name == "" {
		name = n.criSnapshotter(ctx, d.plugins)
	}
	for _, p := range d.plugins {
		if p.kind != snapshotterPlugin || p.id != name {
			continue
		}
		if p.err != nil {
			return snapshotter{}, &UnavailableError{NoSnapshotter, d.address, nil, fmt.Errorf("%s: %w", name, p.err)}
		}
		s := snapshotter{name: name, root: p.exports["root"]}
		s.rebase = name == "overlayfs" && slices.Contains(p.capabilities, snapshots.RebaseCap)
		return s, nil
	}
	return snapshotter{}, &UnavailableError{NoSnapshotter, d.address, nil, fmt.Errorf("%s: %w", name, errdefs.ErrNotFound)}
}

// criSnapshotter gives the name of the snapshotter the CRI plugin unpacks with.
// ImageFsInfo puts its folder first, "so that the kubelet sees the default"
// (internal/cri/server/images/imagefs_info.go), in every version.
func (n *Node) criSnapshotter(ctx context.Context, plugins []plugin) string {
	const usual = "overlayfs"
	if n.criImages == nil {
		return usual
	}
	resp, err := n.criImages.ImageFsInfo(ctx, &cri.ImageFsInfoRequest{})
	if err != nil || len(resp.ImageFilesystems) == 0 {
		return usual
	}
	root := resp.ImageFilesystems[0].GetFsId().GetMountpoint()
	for _, p := range plugins {
		if p.kind == snapshotterPlugin && p.err == nil && root != "" && p.exports["root"] == root {
			return p.id
		}
	}
	if name, ok := strings.CutPrefix(path.Base(root), snapshotterPlugin+"."); ok {
		return name
	}
	return usual
}

// criConfig is the part of the CRI plugin's configuration that a load reads.
type criConfig struct {
	SandboxImage string `json:"sandboxImage"` // until containerd 1.7
}

// criConfig asks the CRI plugin for its configuration.
func (n *Node) criConfig(ctx context.Context) (criConfig, error) {
	var c criConfig
	resp, err := n.criRuntime.Status(ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return c, fmt.Errorf("ask the CRI plugin for its configuration: %w", err)
	}
	if err := json.Unmarshal([]byte(resp.Info["config"]), &c); err != nil {
		return c, fmt.Errorf("read the CRI plugin's configuration: %w", err)
	}
	return c, nil
}
