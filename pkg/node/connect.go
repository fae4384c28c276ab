package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	contentapi "github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/identifiers"
	"google.golang.org/grpc"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/pkg/node/internal/system"
)

// Connect finds containerd, checks that its CRI plugin works, and reads what a load needs
// to know of it. It returns an [*UnavailableError] when no containerd is usable, or more
// than one.
//
// At a given address (option or environment) it accepts a containerd without CRI plugin;
// reports then say that nothing could be verified. A search accepts only a containerd
// that serves the kubelet.
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
		d, attempt := probe(ctx, address)
		if d == nil {
			return nil, &UnavailableError{attempt.Reason, address, []Attempt{attempt}, attempt.Err}
		}
		return newNode(ctx, d, o)
	}
	d, err := search(ctx, sockets)
	if err != nil {
		return nil, err
	}
	return newNode(ctx, d, o)
}

// newNode takes over the connection of d and fills in what a load needs.
func newNode(ctx context.Context, d *daemon, o Options) (_ *Node, err error) {
	conn := d.client.Conn().(*grpc.ClientConn) // what client.New creates
	n := &Node{
		criConfig: new(atomic.Pointer[criConfig]),
		client:    d.client, content: d.client.ContentStore(), images: d.client.ImageService(),
		blobs: contentapi.NewContentClient(conn), kubeletDir: o.KubeletDir,
	}
	defer func() {
		if err != nil {
			d.client.Close()
		}
	}()
	n.server = Server{Address: d.address, Version: d.version, Namespace: o.Namespace}
	switch {
	case d.criErr != nil:
		return nil, &UnavailableError{CRIFailed, d.address, nil, d.criErr}
	case o.Namespace != KubernetesNamespace:
		n.server.CRI = CRIElsewhere
	case !d.cri:
		n.server.CRI = CRIAbsent
	default:
		n.server.CRI = CRIReady
		n.criImages, n.criRuntime = cri.NewImageServiceClient(conn), cri.NewRuntimeServiceClient(conn)
	}
	if n.snapshotter, err = d.findSnapshotter(ctx, n.criImages, o.Snapshotter); err != nil {
		return nil, err
	}
	if n.defaultSnapshotter = n.snapshotter.name; o.Snapshotter != "" {
		n.defaultSnapshotter = d.criSnapshotter(ctx, n.criImages)
	}
	n.snapshots = d.client.SnapshotService(n.snapshotter.name)
	n.server.Snapshotter = n.snapshotter.name
	n.server.Platform = d.platform()
	n.contentRoot = d.contentRoot()
	n.sharesContent = d.sharesContent()
	n.local = n.snapshotter.extractable() && system.SharesFiles(d.address, n.snapshotter.root)
	return n, nil
}

// sockets lists where containerd listens, in the order in which Connect tries them: k3s
// and RKE2, k0s, microk8s, then a separate containerd (kubeadm, kind inside its node,
// Docker's).
var sockets = []string{
	"/run/k3s/containerd/containerd.sock",
	"/run/k0s/containerd.sock",
	"/var/snap/microk8s/common/run/containerd.sock",
	"/run/containerd/containerd.sock",
}

// answerTimeout is how long a daemon may take to answer. A node that boots or swaps is
// slow; after this time the daemon counts as dead.
const answerTimeout = 10 * time.Second

// daemon is a containerd that answered.
type daemon struct {
	address string
	client  *client.Client
	version string
	plugins []plugin
	cri     bool  // it has a CRI plugin
	criErr  error // why the CRI plugin does not work
}

// probe connects to the containerd at address and asks what it is. On failure the daemon
// is nil and the attempt says why.
func probe(ctx context.Context, address string) (*daemon, Attempt) {
	if reason, err := dial(ctx, address); err != nil {
		return nil, Attempt{address, reason, err}
	}
	// gRPC takes the first part of a relative path for a host.
	path, err := filepath.Abs(address)
	if err != nil {
		return nil, Attempt{address, NotContainerd, err}
	}
	c, err := client.New(path)
	if err != nil {
		return nil, Attempt{address, NotContainerd, err}
	}
	d := &daemon{address: address, client: c}
	if err := d.ask(ctx); err != nil {
		c.Close()
		return nil, Attempt{address, NotContainerd, err}
	}
	return d, Attempt{Address: address}
}

// dial opens and closes the socket: the system call has different errors for cases that
// gRPC reports as one.
func dial(ctx context.Context, address string) (Reason, error) {
	conn, err := (&net.Dialer{Timeout: answerTimeout}).DialContext(ctx, "unix", address)
	switch {
	case err == nil:
		conn.Close()
		return "", nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return NotRunning, err
	case errors.Is(err, fs.ErrPermission):
		return Permission, err
	case errors.Is(err, syscall.ECONNREFUSED):
		return Refused, err
	}
	return NotContainerd, err
}

// ask fills in d from the version and introspection services. It does not ask for the
// server's ID: a power cut can leave its file empty, after which containerd always answers
// with an error.
func (d *daemon) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	v, err := d.client.Version(ctx)
	if err != nil {
		return fmt.Errorf("ask for the version: %w", err)
	}
	d.version = v.Version
	if d.plugins, err = listPlugins(ctx, d.client); err != nil {
		return fmt.Errorf("ask for the plugins: %w", err)
	}
	d.cri, d.criErr = criState(d.plugins)
	return nil
}

// search tries the sockets in order and returns the only containerd that serves a kubelet.
// Sockets of the same daemon (links) count once.
func search(ctx context.Context, sockets []string) (*daemon, error) {
	var found []*daemon
	var attempts []Attempt
	for _, address := range sockets {
		d, attempt := probe(ctx, address)
		if d != nil {
			attempt = d.judge(found)
		}
		attempts = append(attempts, attempt)
		switch {
		case d == nil:
		case attempt.Reason == Ambiguous:
			found = append(found, d)
		default:
			d.client.Close()
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	for _, d := range found {
		d.client.Close()
	}
	return nil, choose(attempts)
}

// judge reports whether the daemon is a candidate, with Ambiguous as the reason: the
// search ends only after all sockets were tried.
func (d *daemon) judge(found []*daemon) Attempt {
	for _, f := range found {
		if sameFile(f.address, d.address) {
			return Attempt{Address: d.address, Err: fmt.Errorf("the same containerd as %s", f.address)}
		}
	}
	switch {
	case d.criErr != nil:
		return Attempt{d.address, CRIFailed, d.criErr}
	case !d.cri:
		return Attempt{d.address, NoCRI, nil}
	}
	return Attempt{Address: d.address, Reason: Ambiguous}
}

// sameFile reports whether two paths lead to the same socket.
func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// choose combines all attempts into one error about the socket that came nearest to
// working: that is the one the user can act on.
func choose(attempts []Attempt) *UnavailableError {
	for _, reason := range []Reason{Ambiguous, CRIFailed, Permission, NoCRI, Refused, NotContainerd} {
		for _, a := range attempts {
			if a.Reason != reason {
				continue
			}
			if reason == Ambiguous {
				return &UnavailableError{Reason: Ambiguous, Attempts: withReason(attempts, Ambiguous)}
			}
			return &UnavailableError{reason, a.Address, attempts, a.Err}
		}
	}
	return &UnavailableError{Reason: NotRunning, Attempts: attempts}
}

// withReason returns the attempts with the given reason.
func withReason(attempts []Attempt, reason Reason) []Attempt {
	var kept []Attempt
	for _, a := range attempts {
		if a.Reason == reason {
			kept = append(kept, a)
		}
	}
	return kept
}

// answers returns an error if containerd does not answer a request for its version.
func answers(ctx context.Context, c *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if _, err := c.Version(ctx); err != nil {
		return fmt.Errorf("containerd does not answer: %w", err)
	}
	return nil
}
