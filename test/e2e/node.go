//go:build linux

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/need"
	"stowage/internal/nodetest"
)

// node is a containerd inside a machine, with its root on the machine's disk.
type node struct {
	*nodetest.Node
	machine *machine
	site    site
	cluster *cluster // nil: its kubelet has no API server
}

// site distinguishes the nodes of a machine.
type site struct {
	name    string // of the node and its directories
	address string // of the kubelet's ports
}

// alone is the site of the only node of a machine.
var alone = site{"node", "127.0.0.1"}

// path returns the path of a file of the node in the machine's temporary directory.
func (n *node) path(name string) string { return n.machine.path(filepath.Join(n.site.name, name)) }

// root returns a root directory of the node on the disk, which has the same name on every
// machine.
func (n *node) root(program string) string {
	return filepath.Join(n.machine.diskDir(), n.site.name, program)
}

// startNode starts containerd, which stops with the machine. config is appended to
// containerd's configuration file.
func (m *machine) startNode(t *testing.T, config string) *node {
	t.Helper()
	return m.startNodeAt(t, alone, config)
}

// startNodeAt is startNode for one of several nodes.
func (m *machine) startNodeAt(t *testing.T, s site, config string) *node {
	t.Helper()
	runc, err := runcProgram()
	if err != nil {
		need.Missing(t, err)
	}
	mine := &node{machine: m, site: s}
	if err := os.MkdirAll(mine.path(""), 0o755); err != nil {
		t.Fatal(err)
	}
	opts := nodetest.Options{Root: mine.root("containerd"), Config: runcConfig(runc) + config}
	var n *nodetest.Node
	m.do(func() { n, err = nodetest.Launch(t.Context(), opts) })
	if lacks := (*nodetest.MissingError)(nil); errors.As(err, &lacks) {
		need.Missing(t, lacks)
	}
	if err != nil {
		t.Fatalf("start containerd: %v", err)
	}
	m.before = append(m.before, func() error { return m.stopNode(n) })
	if err := m.janitor.Send("dir " + n.Dir()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of containerd of %s:\n%s", s.name, n.Log(40))
		}
	})
	mine.Node = n
	mine.waitForCRI(t)
	return mine
}

// olderContainerd reports whether these tests run with containerd 1.x, whose configuration
// has another format.
func olderContainerd() bool { return strings.HasPrefix(os.Getenv(nodetest.VersionVariable), "1.") }

// runcConfig returns the configuration with which the CRI plugin uses this runc. For the
// older format nodetest has already opened the table of the runtime.
func runcConfig(runc string) string {
	if olderContainerd() {
		return fmt.Sprintf(`[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = %q
`, runc)
	}
	return fmt.Sprintf(`[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
BinaryName = %q
`, runc)
}

// stopNode stops containerd and its pods. After a power cut containerd is dead already and
// only has to be waited for; the janitor removes its control groups.
func (m *machine) stopNode(n *nodetest.Node) error {
	containers, err := filepath.Glob(filepath.Join(n.Dir(), "state", "io.containerd.runtime.v2.task", "k8s.io", "*"))
	for _, dir := range containers {
		err = errors.Join(err, m.janitor.Send("container "+filepath.Base(dir)))
	}
	return errors.Join(err, n.Stop())
}

// waitForCRI waits until the CRI plugin answers, which starts after containerd.
func (n *node) waitForCRI(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		_, err := n.Images().ListImages(ctx, &cri.ListImagesRequest{})
		if err == nil {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			t.Fatalf("CRI does not answer: %v", err)
		}
	}
}

// restart stops containerd and starts it again.
func (n *node) restart(t *testing.T) {
	t.Helper()
	var err error
	n.machine.do(func() { err = n.Restart(t.Context()) })
	if err != nil {
		t.Fatalf("restart containerd: %v", err)
	}
	n.waitForCRI(t)
}

// outcome is the result of a program.
type outcome struct {
	code           int
	stdout, stderr string
}

// runInside runs a program inside the machine.
func (m *machine) runInside(t *testing.T, name string, args ...string) outcome {
	t.Helper()
	return m.runCommand(t, m.command(name, args...))
}

// runCommand is runInside for a prepared command.
func (m *machine) runCommand(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	p, err := m.startInside(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return finish(t, cmd, p.wait(), &stdout, &stderr)
}

// finish returns the outcome of a program, given the error of Wait; an exit code is no
// error.
func finish(t *testing.T, cmd *exec.Cmd, err error, stdout, stderr *bytes.Buffer) outcome {
	t.Helper()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %s: %v", cmd.Path, err)
	}
	t.Logf("$ %s %s: exit %d\n%s%s", filepath.Base(cmd.Path), strings.Join(cmd.Args[1:], " "), cmd.ProcessState.ExitCode(), stdout, stderr)
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// load loads a bundle into the node as an operator would.
func (n *node) load(t *testing.T, args ...string) {
	t.Helper()
	if got := n.machine.runInside(t, programs(t).load, n.loadArgs(args...)...); got.code != 0 {
		t.Fatalf("load: exit %d", got.code)
	}
}

// loadArgs returns arguments of load with the address of this node.
func (n *node) loadArgs(args ...string) []string {
	return append([]string{"--progress", "none", "--address", n.Address()}, args...)
}

// images returns the image names that CRI knows, on which the kubelet relies.
func (n *node) images(t *testing.T) []string {
	t.Helper()
	resp, err := n.Images().ListImages(t.Context(), &cri.ListImagesRequest{})
	if err != nil {
		t.Fatalf("list images: %v", err)
	}
	var names []string
	for _, image := range resp.Images {
		names = append(names, image.RepoTags...)
		names = append(names, image.RepoDigests...)
	}
	return names
}

// has asks CRI for an image, as the kubelet does before it pulls.
func (n *node) has(t *testing.T, ref string) bool {
	t.Helper()
	resp, err := n.Images().ImageStatus(t.Context(), &cri.ImageStatusRequest{Image: &cri.ImageSpec{Image: ref}})
	if err != nil {
		t.Fatalf("image status %s: %v", ref, err)
	}
	return resp.Image != nil
}

// runningContainers returns the number of running containers by pod, as reported by CRI.
func (n *node) runningContainers(t *testing.T) map[string]int {
	t.Helper()
	resp, err := n.Runtime().ListContainers(t.Context(), &cri.ListContainersRequest{Filter: &cri.ContainerFilter{
		State: &cri.ContainerStateValue{State: cri.ContainerState_CONTAINER_RUNNING},
	}})
	if err != nil {
		t.Fatalf("list containers: %v", err)
	}
	count := map[string]int{}
	for _, c := range resp.Containers {
		// The kubelet's labels (pkg/kubelet/types of Kubernetes).
		count[strings.TrimSuffix(c.Labels["io.kubernetes.pod.name"], "-"+n.site.name)]++
	}
	return count
}

// assertRunning checks the number of running containers of pods in CRI.
func assertRunning(t *testing.T, n *node, want map[string]int) {
	t.Helper()
	got := n.runningContainers(t)
	for name, count := range want {
		if got[name] != count {
			t.Errorf("CRI: pod %s has %d running containers, want %d", name, got[name], count)
		}
	}
}
