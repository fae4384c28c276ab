package node

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc"
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

// Connect finds containerd, checks that the kubelet's part of it works and
// learns what a load must know. It returns an [*UnavailableError] when there is
// no usable containerd, or more than one.
//
// With a given address (option or environment) a containerd without CRI plugin
// is accepted and the reports say that nothing could be proved; a search takes
// only one that serves the kubelet.
func Connect(ctx context.Context, o Options) (*Node, error) {
	if o.Namespace == "" {
		o.Namespace = KubernetesNamespace
	}
	if err := identifiers.Validate(o.Namespace); err != nil {
		return nil, fmt.Errorf("namespace %q: %w", o.Namespace, err)
	}
	address := o.Address
	if address == "" {
		address = os.Getenv(AddressVariable)
	}
	if address = strings.TrimPrefix(address, "unix://"); address != "" {
		d, attempt := dial(ctx, address)
		if d == nil {
			return nil, &UnavailableError{attempt.Reason, address, []Attempt{attempt}, attempt.Err}
		}
		return newNode(ctx, d, o)
	}
	d, err := search(ctx, Sockets())
	if err != nil {
		return nil, err
	}
	return newNode(ctx, d, o)
}

// newNode takes the connection over and fills in what a load needs.
func newNode(ctx context.Context, d *daemon, o Options) (_ *Node, err error) {
	n := &Node{client: d.client, content: d.client.ContentStore(), images: d.client.ImageService()}
	defer func() {
		if err != nil {
			d.client.Close()
		}
	}()
	n.server = Server{Address: d.address, Version: d.version, Namespace: o.Namespace}
	switch conn, ok := d.client.Conn().(*grpc.ClientConn); {
	case d.criErr != nil:
		return nil, &UnavailableError{CRIFailed, d.address, nil, d.criErr}
	case o.Namespace != KubernetesNamespace:
		n.server.CRI = CRIElsewhere
	case !d.cri || !ok:
		n.server.CRI = CRIAbsent
	default:
		n.server.CRI = CRIReady
		n.criImages, n.criRuntime = cri.NewImageServiceClient(conn), cri.NewRuntimeServiceClient(conn)
	}
	if n.snapshotter, err = n.findSnapshotter(ctx, d, o.Snapshotter); err != nil {
		return nil, err
	}
	n.snapshots = d.client.SnapshotService(n.snapshotter.name)
	n.server.Snapshotter = n.snapshotter.name
	n.server.Platform = d.platform()
	n.contentRoot = d.contentRoot()
	n.local = n.snapshotter.extractable() && sharesFiles(d.address, n.snapshotter.root)
	return n, nil
}

// Close ends the connection.
func (n *Node) Close() error { return n.client.Close() }

// Server tells what Connect found out.
func (n *Node) Server() Server { return n.server }

// in gives ctx the containerd namespace of the node.
func (n *Node) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, n.server.Namespace)
}
