package node

import (
	"context"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
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
}

// Node is a connection to a node's containerd. It is safe for concurrent use; loads of
// the same bundle wait for each other.
type Node struct {
	client      *client.Client
	content     content.Store
	images      images.Store
	snapshots   snapshots.Snapshotter
	criImages   cri.ImageServiceClient   // nil without a CRI plugin to ask
	criRuntime  cri.RuntimeServiceClient // nil with criImages
	server      Server
	snapshotter snapshotter
	contentRoot string
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

// in returns ctx with the containerd namespace of the node.
func (n *Node) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, n.server.Namespace)
}
