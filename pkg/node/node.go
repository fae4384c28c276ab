package node

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/pkg/node/internal/stored"
	"stowage/pkg/serve"
)

// KubernetesNamespace is the containerd namespace of the CRI plugin's, and so of the
// kubelet's, images.
const KubernetesNamespace = "k8s.io"

// AddressVariable is the environment variable that names containerd's socket if
// [Options] do not. ctr and nerdctl read the same variable.
const AddressVariable = "CONTAINERD_ADDRESS"

// Options select the containerd to connect to. The zero value searches for the one that
// serves the kubelet.
type Options struct {
	// Address is the path of containerd's socket, with or without "unix://".
	// Empty: $CONTAINERD_ADDRESS, else the sockets of k3s, RKE2, k0s, microk8s and of a
	// separate containerd are tried.
	Address string
	// Namespace is the containerd namespace. Empty: KubernetesNamespace.
	Namespace string
	// Snapshotter is the plugin that stores unpacked layers. Empty: the one the CRI
	// plugin uses, else overlayfs.
	Snapshotter string
	// KubeletDir is the root directory of the kubelet, whose pull records decide over images
	// that are present. Empty: that of the running kubelet, else of the one that has left its
	// files in a usual place.
	KubeletDir string
}

// Node is a connection to a node's containerd. It is safe for concurrent use; loads of
// the same bundle wait for each other.
type Node struct {
	client      *client.Client
	content     content.Store
	blobs       contentapi.ContentClient // the service behind content
	images      images.Store
	snapshots   snapshots.Snapshotter
	criImages   cri.ImageServiceClient     // nil without a CRI plugin to ask
	criRuntime  cri.RuntimeServiceClient   // nil with criImages
	criConfig   *atomic.Pointer[criConfig] // see readCRIConfig
	server      Server
	snapshotter snapshotter

	defaultSnapshotter string // of containers whose runtime handler has none of its own

	contentRoot   string
	sharesContent bool // see daemon.sharesContent
	kubeletDir    string
	// local says that this process sees the snapshotter's files at the same paths as
	// containerd, so it can unpack layers itself.
	local bool
}

// Close closes the connection.
func (n *Node) Close() error { return n.client.Close() }

// Server returns what Connect learned about containerd.
func (n *Node) Server() Server { return n.server }

// Source returns the node's images for [serve.New]. Nothing is copied: names are read from
// containerd's image store and bytes from its content store, with each request. A containerd
// that restarts is connected to again. Layers that are there only unpacked are not found.
func (n *Node) Source() serve.Source { return stored.New(n.images, n.content, n.server.Namespace) }

// Pulls describes where the node's containerd looks for what it pulls.
type Pulls struct {
	// Registries are the registries in the names that bundles have brought, sorted.
	Registries []string
	// Files are containerd's configuration files, the one it was started with first.
	Files []string
	// ConfigPath are the directories with a hosts.toml file for each registry: what is set, or
	// the default of containerd's version. Without them it reads no such file.
	ConfigPath []string
	// Mirrors says that the deprecated registry.mirrors is set, which containerd accepts only
	// without ConfigPath.
	Mirrors bool
}

// defaultConfigPath is the config_path of containerd 2.2 and later
// (internal/cri/config/config_unix.go of 2.2.0, plugins/cri/images/plugin.go of 2.4.2).
var defaultConfigPath = []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"}

// Pulls returns where containerd looks for what it pulls. It fails if containerd's
// configuration cannot be found from here.
func (n *Node) Pulls(ctx context.Context) (*Pulls, error) {
	all, err := n.images.List(n.in(ctx))
	if err != nil {
		return nil, fmt.Errorf("list the node's images: %w", err)
	}
	c := daemonConfig(n.server.Address)
	if len(c.Files) == 0 {
		return nil, fmt.Errorf("find the configuration of containerd at %s: its process cannot be seen from here", n.server.Address)
	}
	p := &Pulls{Files: c.Files, ConfigPath: c.ConfigPath, Mirrors: c.Mirrors}
	if v, ok := parseVersion(n.server.Version); ok && (v[0] > 2 || v[0] == 2 && v[1] >= 2) && len(p.ConfigPath) == 0 && !p.Mirrors {
		p.ConfigPath = defaultConfigPath
	}
	for _, i := range all {
		if digest.Digest(i.Name).Validate() == nil {
			continue // the CRI plugin's name for an image id
		}
		if ref, err := reference.ParseNormalizedNamed(i.Name); err == nil && i.Labels[LabelBundle] != "" {
			p.Registries = append(p.Registries, reference.Domain(ref))
		}
	}
	slices.Sort(p.Registries)
	p.Registries = slices.Compact(p.Registries)
	return p, nil
}

// in returns ctx with the containerd namespace of the node.
func (n *Node) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, n.server.Namespace)
}
