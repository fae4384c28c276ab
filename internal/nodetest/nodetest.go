//go:build linux

// Package nodetest runs a real containerd for tests and for demonstrations: with its own
// root, state directory and socket, with the CRI plugin and without CNI (pods use the
// network of the machine). Nothing remains after it stops, nor after the process that owns
// it is killed.
//
//	n := nodetest.Start(t)
//	out, err := n.Ctr("images", "ls")
//
// The programs containerd, ctr, containerd-shim-runc-v2 and runc come from the directory in
// the environment variable STOWAGE_TOOLS, or from stowage/tools below [os.UserCacheDir].
// [Start] skips the test with a reason if the machine cannot run a node; with CI=true it
// fails instead (see package need).
package nodetest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/need"
)

// DefaultSandboxImage is the default sandbox image of the default version of containerd.
const DefaultSandboxImage = "registry.k8s.io/pause:3.10.2"

// Options are the settings of a containerd. The zero value is a containerd of the default
// version with the CRI plugin.
type Options struct {
	// Version selects the programs in the directory containerd-VERSION inside the directory
	// of tools, for example "1.7.35"; runc may be in the directory of tools. Empty: the
	// value of the environment variable STOWAGE_CONTAINERD, or else the containerd in the
	// directory of tools itself.
	Version string
	// SandboxImage is the name of the sandbox image in the configuration file. Empty:
	// DefaultSandboxImage with SandboxTar, and without it the file names none, so that the
	// default of the version counts.
	SandboxImage string
	// SandboxTar is an image tarball with SandboxImage that ctr imports after the start.
	// Empty: the caller loads the image if it needs it.
	SandboxTar string
	// DisableCRI starts containerd without its CRI plugin, as Docker does.
	DisableCRI bool
	// Config is appended to the configuration file as it is (TOML).
	Config string
	// Imports is the list of files that the configuration file of a containerd 2 imports
	// (TOML: quoted, separated by commas).
	Imports string
	// Dir is the directory below which the node keeps everything. Empty: the first of the
	// usual temporary directories whose file system supports an overlay.
	Dir string
	// Root is containerd's root directory, which Stop keeps, so that another node can use
	// it. Empty: inside the directory of the node.
	Root string
	// Prefix is the start of the command line of containerd: a program that replaces itself
	// with the rest, such as taskset.
	Prefix []string
}

// Node is a running containerd. Its methods are safe for concurrent use, except Restart,
// Kill and Stop, which the owner calls one at a time.
type Node struct {
	opts    Options
	dir     string
	tools   tools
	mu      sync.Mutex
	process *exec.Cmd
	exited  chan struct{}
	logfile *os.File
	janitor *Janitor
	conn    *grpc.ClientConn
}

// MissingError reports what this machine lacks to run a node: the right to mount, a
// program, a file system.
type MissingError struct {
	What string // what is missing and where it was searched
}

// Error returns the reason for skipping a test.
func (e *MissingError) Error() string { return "no test node: " + e.What }

// Start runs a node until the test ends. It skips the test if the machine cannot run one
// (see package need), and prints the end of containerd's log if the test fails.
func Start(t testing.TB, opts ...Options) *Node {
	t.Helper()
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	n, err := Launch(t.Context(), o)
	if missing := (*MissingError)(nil); errors.As(err, &missing) {
		need.Missing(t, err)
	}
	if err != nil {
		t.Fatalf("start a node: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of containerd's log:\n%s", n.Log(80))
		}
		if err := n.Stop(); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	return n
}

// Launch runs a node and returns when its services answer. The caller calls Stop. It
// returns a [*MissingError] if the machine cannot run a node.
func Launch(ctx context.Context, o Options) (_ *Node, err error) {
	if os.Geteuid() != 0 {
		return nil, &MissingError{"not running as root (containerd mounts file systems)"}
	}
	if o.Version == "" {
		o.Version = os.Getenv(VersionVariable)
	}
	n := &Node{opts: o}
	if n.tools, err = findTools(o.Version); err != nil {
		return nil, err
	}
	if n.dir, err = makeDir(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Stop())
		}
	}()
	if n.janitor, err = StartJanitor(janitorScript, n.dir); err != nil {
		return nil, err
	}
	if err := n.writeConfig(ctx); err != nil {
		return nil, err
	}
	if n.logfile, err = os.Create(filepath.Join(n.dir, "log")); err != nil {
		return nil, fmt.Errorf("create containerd's log: %w", err)
	}
	if err := n.start(ctx); err != nil {
		return nil, err
	}
	if o.SandboxTar != "" {
		if out, err := n.Ctr("images", "import", o.SandboxTar); err != nil {
			return nil, fmt.Errorf("import the sandbox image: %w\n%s", err, out)
		}
	}
	return n, nil
}

// Address returns the path of containerd's socket.
func (n *Node) Address() string { return filepath.Join(n.dir, "c.sock") }

// Root returns containerd's root directory: content, snapshots, metadata.
func (n *Node) Root() string {
	if n.opts.Root != "" {
		return n.opts.Root
	}
	return filepath.Join(n.dir, "root")
}

// Dir returns the directory with everything of the node; Stop removes it.
func (n *Node) Dir() string { return n.dir }

// ConfigPath returns the path of containerd's configuration file.
func (n *Node) ConfigPath() string { return filepath.Join(n.dir, "config.toml") }

// Pid returns the process id of the running containerd, or 0.
func (n *Node) Pid() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return 0
	}
	return n.process.Process.Pid
}

// Ctr runs ctr against the node in the namespace of Kubernetes and returns
// what it printed on both streams.
func (n *Node) Ctr(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	all := append([]string{"-a", n.Address(), "-n", "k8s.io"}, args...)
	cmd := exec.CommandContext(ctx, n.tools.ctr, all...)
	cmd.Env = n.environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("ctr %q: %w", args, err)
	}
	return string(out), err
}

// Images returns the CRI image service of the node.
func (n *Node) Images() cri.ImageServiceClient { return cri.NewImageServiceClient(n.conn) }

// Runtime returns the CRI runtime service of the node.
func (n *Node) Runtime() cri.RuntimeServiceClient { return cri.NewRuntimeServiceClient(n.conn) }

// dial opens the connection that Images and Runtime share.
func (n *Node) dial() error {
	conn, err := grpc.NewClient("unix://"+n.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return fmt.Errorf("dial %s: %w", n.Address(), err)
	}
	n.conn = conn
	return nil
}
