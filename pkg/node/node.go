package node

import (
	"context"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// KubernetesNamespace is the containerd namespace in which the CRI plugin, and
// so the kubelet, keeps its images.
const KubernetesNamespace = "k8s.io"

// AddressVariable is the environment variable that names containerd's socket
// when [Options] do not; ctr and nerdctl read the same one.
const AddressVariable = "CONTAINERD_ADDRESS"

// Options say which containerd to connect to. The zero value looks for the one
// that serves the kubelet.
type Options struct {
	// Address is the path of containerd's socket, with or without "unix://".
	// Empty: $CONTAINERD_ADDRESS, else the known places are tried (see Sockets).
	Address string
	// Namespace is the containerd namespace. Empty: KubernetesNamespace.
	Namespace string
	// Snapshotter is the plugin that unpacked layers go to. Empty: the one the
	// CRI plugin uses, else overlayfs.
	Snapshotter string
}

// Node is a connection to a node's containerd. Its methods may be called from
// many goroutines; loads of the same bundle wait for each other.
type Node struct {
	client      *client.Client
	content     content.Store
	images      images.Store
	snapshots   snapshots.Snapshotter
	criImages   cri.ImageServiceClient   // nil when there is no CRI to ask
	criRuntime  cri.RuntimeServiceClient // nil with criImages
	server      Server
	snapshotter snapshotter
	contentRoot string
	// local: this process sees the snapshotter's files where containerd sees
	// them, so it can unpack by itself.
	local bool
}

// Close ends the connection.
func (n *Node) Close() error { return n.client.Close() }

// Server tells what Connect found out.
func (n *Node) Server() Server { return n.server }

// in gives ctx the containerd namespace of the node.
func (n *Node) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, n.server.Namespace)
}
