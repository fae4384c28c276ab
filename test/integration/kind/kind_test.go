//go:build linux

// Package kind loads into nodes that are containers of a real podman, with a real containerd in
// each, labelled as kind and k3d label theirs.
package kind

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// engine is a podman with storage of its own.
type engine struct {
	dir string
	env []string
}

// startEngine writes the configuration of Debian's podman, which is unpacked but not installed,
// a program "podman" that uses it, and our programs beside it.
func startEngine(t *testing.T) *engine {
	t.Helper()
	need.Root(t, "starts containers")
	tools, err := nodetest.Tools()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(tools, "engines")
	podman := filepath.Join(root, "usr/bin/podman")
	if _, err := os.Stat(podman); err != nil {
		need.Missing(t, err, "; \"make engines\" unpacks it")
	}
	libs, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "kt") // podman allows at most 50 characters
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	write(t, filepath.Join(dir, "containers.conf"), fmt.Sprintf("[engine]\nconmon_path = [%q]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ntmp_dir = %q\n[engine.runtimes]\nrunc = [%q]\n",
		filepath.Join(root, "usr/bin/conmon"), filepath.Join(dir, "tmp"), filepath.Join(tools, "runc")), 0o600)
	write(t, filepath.Join(dir, "bin/podman"), fmt.Sprintf("#!/bin/sh\nLD_LIBRARY_PATH=%s CONTAINERS_CONF=%s exec %s --root %s --runroot %s --storage-driver vfs \"$@\"\n",
		strings.Join(libs, ":"), filepath.Join(dir, "containers.conf"), podman, filepath.Join(dir, "s"), filepath.Join(dir, "r")), 0o700)
	// No docker: the machine's own may have clusters.
	write(t, filepath.Join(dir, "bin/docker"), "#!/bin/sh\necho 'no docker in this test' >&2\nexit 1\n", 0o700)
	build := exec.Command("go", "build", "-o", filepath.Join(dir, "bin")+"/", "./cmd/bundle", "./cmd/load")
	build.Dir = filepath.Join("..", "..", "..")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return &engine{dir, append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "HOME="+dir, "TMPDIR="+dir)}
}

func write(t *testing.T, path, text string, mode fs.FileMode) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), mode)); err != nil {
		t.Fatal(err)
	}
}

// command returns one of the programs, which find this podman.
func (e *engine) command(ctx context.Context, program string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(e.dir, "bin", program), args...)
	cmd.Env = e.env
	return cmd
}

// podman runs podman and returns its output.
func (e *engine) podman(t *testing.T, args ...string) string {
	t.Helper()
	out, err := e.command(context.WithoutCancel(t.Context()), "podman", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("podman %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// start starts a container with a containerd at a socket.
func (e *engine) start(t *testing.T, name, socket string, labels ...string) {
	t.Helper()
	tools, err := nodetest.Tools()
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(e.dir, name)
	for _, d := range []string{"proc", "sys", "dev", "tmp", "run", "root", "var/lib", "usr/local/bin"} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	busybox := filepath.Join(tools, "engines/bin/busybox")
	if _, err := os.Stat(busybox); err != nil {
		need.Missing(t, err, "; \"make engines\" unpacks it")
	}
	link(t, busybox, filepath.Join(root, "bin/busybox"))
	for _, applet := range []string{"sh", "cat", "chmod", "rm", "ls", "ps", "uname", "kill"} {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", applet)); err != nil {
			t.Fatal(err)
		}
	}
	for _, program := range []string{"containerd", "ctr", "runc", "containerd-shim-runc-v2"} {
		link(t, filepath.Join(tools, program), filepath.Join(root, "usr/local/bin", program))
	}
	write(t, filepath.Join(root, "etc/containerd/config.toml"), fmt.Sprintf("version = 3\n[grpc]\naddress = %q\n[plugins.\"io.containerd.nri.v1.nri\"]\ndisable = true\n[plugins.\"io.containerd.cri.v1.runtime\"]\nrestrict_oom_score_adj = true\n", socket), 0o600)
	// As kind: /tmp and /run are mounted without the right to execute.
	args := []string{"run", "--detach", "--name", name, "--privileged", "--network", "none", "--tmpfs", "/tmp", "--tmpfs", "/run"}
	for resource, flag := range map[int]string{syscall.RLIMIT_NOFILE: "nofile", 6: "nproc"} { // RLIMIT_NPROC
		var limit syscall.Rlimit
		if err := syscall.Getrlimit(resource, &limit); err != nil {
			t.Fatal(err)
		}
		hard := min(limit.Max, 20000) // podman asks for more than some machines allow
		args = append(args, "--ulimit", fmt.Sprintf("%s=%d:%d", flag, hard, hard))
	}
	for _, l := range labels {
		args = append(args, "--label", l)
	}
	t.Cleanup(func() { e.podman(t, "rm", "--force", "--time", "0", name) })
	e.podman(t, append(args, "--rootfs", root, "/usr/local/bin/containerd")...)
	deadline := time.Now().Add(time.Minute)
	for e.command(t.Context(), "podman", "exec", name, "ctr", "--address", socket, "version").Run() != nil {
		if time.Now().After(deadline) {
			t.Fatalf("containerd in %s does not answer: %s", name, e.podman(t, "logs", name))
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// link makes a hard link, or a copy on another file system.
func link(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Link(from, to) == nil {
		return
	}
	if out, err := exec.Command("cp", from, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// load runs load and returns its output and exit code.
func (e *engine) load(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	var out, messages bytes.Buffer
	cmd := e.command(t.Context(), "load", args...)
	cmd.Stdout, cmd.Stderr = &out, &messages
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	t.Logf("load %v: exit code %d\n%s%s", args, cmd.ProcessState.ExitCode(), &messages, &out)
	return out.String(), messages.String(), cmd.ProcessState.ExitCode()
}

// unchanged checks that nothing but images is in a node.
func (e *engine) unchanged(t *testing.T, name string) {
	t.Helper()
	if out := e.podman(t, "exec", name, "ls", "-A", "/"); strings.Contains(out, "stowage") {
		t.Errorf("%s: a program stayed:\n%s", name, out)
	}
	if out := e.podman(t, "exec", name, "ps"); strings.Contains(out, "/proc/self/fd") {
		t.Errorf("%s: a program runs on:\n%s", name, out)
	}
}

const (
	controlPlane = "kind-control-plane"
	worker       = "kind-worker"
	server       = "k3d-k3s-default-server-0"
	socket       = "/run/containerd/containerd.sock"
	k3sSocket    = "/run/k3s/containerd/containerd.sock"
)

// TestKind loads into a cluster of two nodes and into a node of k3d.
func TestKind(t *testing.T) {
	e := startEngine(t)
	h := registrytest.Start(t, registrytest.Options{})
	files := map[string]string{}
	for name, size := range map[string]int64{"app": 1 << 20, "large": 12 << 20} {
		registrytest.Must(h.AddImage(name, "v1", registrytest.Image{Layers: []*registrytest.Layer{
			{Files: []registrytest.File{{Name: "f", Size: size}}, Compression: registrytest.None, Seed: uint64(size)},
		}}))(t)
		files[name] = filepath.Join(e.dir, name+".tar")
		cmd := e.command(t.Context(), "bundle", h.Ref(name, "v1"), "-o", files[name])
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("bundle: %v\n%s", err, out)
		}
	}
	e.start(t, controlPlane, socket, "io.x-k8s.kind.cluster=kind", "io.x-k8s.kind.role=control-plane")
	e.start(t, worker, socket, "io.x-k8s.kind.cluster=kind", "io.x-k8s.kind.role=worker")
	e.start(t, server, k3sSocket, "app=k3d", "k3d.cluster=k3s-default", "k3d.role=server")

	if out, _, code := e.load(t, "--kind", files["app"]); code != 0 || strings.Count(out, " loaded ") != 2 || strings.Count(out, " ready ") != 2 {
		t.Errorf("exit code %d, output %s", code, out)
	}
	for _, name := range []string{controlPlane, worker} {
		if out := e.podman(t, "exec", name, "ctr", "-n", "k8s.io", "images", "ls", "-q"); !strings.Contains(out, h.Ref("app", "v1")) {
			t.Errorf("%s has %s", name, out)
		}
		e.unchanged(t, name)
	}

	// The socket of k3s is found in the node.
	out, _, code := e.load(t, "--k3d", "--output", "json", files["app"])
	var doc struct {
		Nodes []struct {
			Node   string
			Report struct{ Server struct{ Address, CRI string } }
		}
	}
	if err := json.Unmarshal([]byte(out), &doc); err != nil || code != 0 || len(doc.Nodes) != 1 || doc.Nodes[0].Report.Server.Address != k3sSocket {
		t.Errorf("k3d: exit code %d, %v, %+v", code, err, doc)
	}

	// A check of nodes of which one lacks the image.
	if _, stderr, code := e.load(t, "--node", worker, files["large"]); code != 0 {
		t.Errorf("--node: exit code %d, %s", code, stderr)
	}
	_, stderr, code := e.load(t, "check", "--kind", files["large"])
	if code != 3 || !strings.Contains(stderr, "load: error: "+controlPlane+": exit code 3\n") || strings.Contains(stderr, "error: "+worker) {
		t.Errorf("check: exit code %d, %s", code, stderr)
	}
	t.Run("interrupted", func(t *testing.T) { e.interrupted(t, files["large"], syscall.SIGINT) })
	t.Run("killed", func(t *testing.T) { e.interrupted(t, files["large"], syscall.SIGKILL) })
}

// interrupted sends a signal to a load in the middle of a bundle.
func (e *engine) interrupted(t *testing.T, file string, signal syscall.Signal) {
	cmd := e.command(t.Context(), "load", "--kind", "--limit-rate", "512k", file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	runs := func() bool { return strings.Contains(e.podman(t, "exec", controlPlane, "ps"), "/proc/self/fd") }
	for deadline := time.Now().Add(time.Minute); !runs(); {
		if time.Now().After(deadline) {
			t.Fatalf("load does not start in the node: %s", &stderr)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err := cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // its exit code is judged
	if code := cmd.ProcessState.ExitCode(); signal == syscall.SIGINT && code != 130 {
		t.Errorf("exit code %d, want 130: %s", code, &stderr)
	}
	for deadline := time.Now().Add(time.Minute); runs() && time.Now().Before(deadline); {
		time.Sleep(50 * time.Millisecond)
	}
	e.unchanged(t, controlPlane)
	if out := e.podman(t, "exec", controlPlane, "ctr", "-n", "k8s.io", "images", "ls", "-q"); strings.Contains(out, "/large:") {
		t.Errorf("an image is visible: %s", out)
	}
}
