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

// The plugin types that matter to a load (plugins/types.go of containerd). Until 1.7 the
// CRI plugin is one plugin; since 2.0 its parts have the type criPart.
const (
	criPlugin         = "io.containerd.grpc.v1" // with the ID "cri"
	criPart           = "io.containerd.cri.v1"
	contentPlugin     = "io.containerd.content.v1"
	metadataPlugin    = "io.containerd.metadata.v1"
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

// listPlugins returns containerd's plugins.
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

// criState reports whether there is a CRI plugin, and why it does not work. Its parts are
// reported like the plugin itself: they hold the cause when it fails.
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

// platform returns the platform of the node's runtime, which the CRI plugin uses as well.
func (d *daemon) platform() string {
	for _, p := range d.plugins {
		if p.kind == runtimePlugin && len(p.platforms) > 0 {
			return platforms.FormatAll(platforms.Normalize(p.platforms[0]))
		}
	}
	return platforms.FormatAll(platforms.DefaultSpec())
}

// contentRoot returns the directory of the content store as containerd sees it.
func (d *daemon) contentRoot() string {
	for _, p := range d.plugins {
		if p.kind == contentPlugin {
			return p.exports["root"]
		}
	}
	return ""
}

// sharesContent reports whether containerd adds a blob whose file is in the content store
// already to any namespace: the store is its own, not one that it reaches through a socket, and
// the policy of its database allows it. Both plugins export this since 1.6.
func (d *daemon) sharesContent() bool {
	remote, shared := false, false
	for _, p := range d.plugins {
		switch p.kind {
		case contentPlugin:
			remote = remote || p.exports["address"] != ""
		case metadataPlugin:
			shared = p.exports["policy"] == "shared"
		}
	}
	return shared && !remote
}

// snapshotter is the plugin that stores unpacked layers.
type snapshotter struct {
	name string
	root string // its directory as containerd sees it, empty for a remote one
	// rebase says that a snapshot may get its parent when it is committed, so that the
	// layers of one image can be unpacked in parallel. Servers without this capability
	// silently ignore the parent and keep a root file system of one layer.
	rebase bool
}

// extractable reports whether this package knows the snapshotter's files well enough to
// write into them.
func (s snapshotter) extractable() bool {
	return s.root != "" && (s.name == "overlayfs" || s.name == "native")
}

// findSnapshotter looks up the snapshotter, by default the one of the CRI plugin.
func (d *daemon) findSnapshotter(ctx context.Context, plugin cri.ImageServiceClient, name string) (snapshotter, error) {
	if name == "" {
		name = d.criSnapshotter(ctx, plugin)
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

// criSnapshotter returns the name of the snapshotter that the CRI plugin uses. In every
// version, ImageFsInfo lists its directory first, "so that the kubelet sees the default"
// (internal/cri/server/images/imagefs_info.go).
func (d *daemon) criSnapshotter(ctx context.Context, plugin cri.ImageServiceClient) string {
	const fallback = "overlayfs"
	if plugin == nil {
		return fallback
	}
	resp, err := plugin.ImageFsInfo(ctx, &cri.ImageFsInfoRequest{})
	if err != nil || len(resp.ImageFilesystems) == 0 {
		return fallback
	}
	root := resp.ImageFilesystems[0].GetFsId().GetMountpoint()
	for _, p := range d.plugins {
		if p.kind == snapshotterPlugin && p.err == nil && root != "" && p.exports["root"] == root {
			return p.id
		}
	}
	if name, ok := strings.CutPrefix(path.Base(root), snapshotterPlugin+"."); ok {
		return name
	}
	return fallback
}

// criConfig is what a load reads of the CRI plugin's configuration.
type criConfig struct {
	SandboxImage string `json:"sandboxImage"` // until containerd 1.7
	Containerd   struct {
		Runtimes map[string]struct { // by the name of the runtime handler
			Snapshotter string `json:"snapshotter"` // of its containers, empty for the default
		} `json:"runtimes"`
	} `json:"containerd"`
}

// readCRIConfig returns the configuration that the CRI plugin reports. It asks once: the plugin
// reads its configuration when containerd starts.
func (n *Node) readCRIConfig(ctx context.Context) (criConfig, error) {
	var c criConfig
	if known := n.criConfig.Load(); known != nil {
		return *known, nil
	}
	resp, err := n.criRuntime.Status(ctx, &cri.StatusRequest{Verbose: true})
	if err != nil {
		return c, fmt.Errorf("ask the CRI plugin for its configuration: %w", err)
	}
	if err := json.Unmarshal([]byte(resp.Info["config"]), &c); err != nil {
		return c, fmt.Errorf("read the CRI plugin's configuration: %w", err)
	}
	n.criConfig.Store(&c)
	return c, nil
}
