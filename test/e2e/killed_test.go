//go:build linux

package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// victimVariable makes the test below the one that is killed.
const victimVariable = "STOWAGE_E2E_VICTIM"

// TestKilledTestLeavesNothing kills a running test and checks that no processes,
// directories, mounts, loop devices and control groups of its machine remain.
func TestKilledTestLeavesNothing(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	if os.Getenv(victimVariable) != "" {
		beVictim(t)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), victimVariable+"=1", "TMPDIR="+t.TempDir()) // testing itself leaves files there
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var traces []trace
	for lines := bufio.NewScanner(out); lines.Scan(); {
		text := lines.Text()
		if reason, ok := strings.CutPrefix(text, "--- SKIP"); ok {
			t.Skipf("the child skipped the test%s", reason)
		}
		if what, ok := strings.CutPrefix(text, "trace "); ok {
			kind, value, _ := strings.Cut(what, " ")
			traces = append(traces, trace{kind, value})
		}
		if text == "traces end" {
			break
		}
	}
	for _, kind := range []string{"directory", "process", "device", "group"} {
		if !slices.ContainsFunc(traces, func(x trace) bool { return x.kind == kind && x.there() }) {
			t.Errorf("no trace of kind %s was reported", kind)
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait() // killed
	end := time.Now().Add(patience)
	for _, x := range traces {
		for x.there() {
			if time.Now().After(end) {
				t.Errorf("still exists: %s %s", x.kind, x.value)
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}

// trace is something that a machine creates on the system.
type trace struct{ kind, value string }

// there reports whether it still exists.
func (x trace) there() bool {
	switch x.kind {
	case "process": // the inode number identifies a namespace
		links, _ := filepath.Glob("/proc/[0-9]*/ns/pid")
		return slices.ContainsFunc(links, func(link string) bool {
			ns, err := os.Readlink(link)
			return err == nil && ns == x.value
		})
	case "device":
		backing, err := os.ReadFile(x.value)
		return err == nil && strings.Contains(string(backing), "/e2e") && fileExists(strings.TrimSpace(string(backing)))
	default:
		return fileExists(x.value)
	}
}

func fileExists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// beVictim starts a machine with everything in it, prints the traces, and waits to be
// killed.
func beVictim(t *testing.T) {
	tarball := calicoTarball(t)
	m := newMachine(t, rebootDisk, "")
	n := m.startNode(t, "")
	n.load(t, tarball)
	k := n.startKubelet(t, nil)
	pods := templates(t, calicoManifest)
	k.put(t, pods...)
	ids := k.containers(t, pods)

	fmt.Println("\ntrace directory", m.dir)
	fmt.Println("trace directory", n.Dir())
	fmt.Println("trace device", filepath.Join("/sys/block", m.loop, "loop/backing_file"))
	ns, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", m.init.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("trace process", ns)
	for _, id := range slices.Concat(ids["calico-node"], ids["calico-kube-controllers"]) {
		id = strings.TrimPrefix(id, "containerd://")
		groups, err := filepath.Glob("/sys/fs/cgroup/*/k8s.io/" + id)
		if err != nil {
			t.Fatal(err)
		}
		unified, err := filepath.Glob("/sys/fs/cgroup/k8s.io/" + id)
		if err != nil {
			t.Fatal(err)
		}
		for _, group := range append(groups, unified...) {
			fmt.Println("trace group", group)
		}
	}
	fmt.Println("traces end")
	select {}
}
