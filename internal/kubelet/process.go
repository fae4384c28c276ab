package kubelet

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process is a process that is a kubelet or has one inside.
type process struct {
	pid  int
	dir  string // /proc/PID
	exe  string // its executable, as the process names it
	name string // "kubelet", "k3s server", "kubelite"
	args []string
	env  map[string]string // of k3s and kubelite, whose arguments leave the rest to it
	cwd  string
	root root
}

func (p process) String() string { return fmt.Sprintf("process %d (%s)", p.pid, p.name) }

// processes returns the kubelets among the processes below proc, by process ID, and the
// reasons why others may be one that cannot be examined. own is the root of this process.
func processes(proc string, own root) (found []process, unclear []string) {
	entries, err := os.ReadDir(proc)
	if err != nil {
		return nil, []string{"the processes: " + err.Error()}
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p, err := examine(proc, own, pid)
		switch {
		case err != nil:
			unclear = append(unclear, fmt.Sprintf("process %d: %v", pid, err))
		case p != nil:
			found = append(found, *p)
		}
	}
	slices.SortFunc(found, func(a, b process) int { return a.pid - b.pid })
	return found, unclear
}

// examine returns the process if it is a kubelet, nil if it is not or has ended.
func examine(proc string, own root, pid int) (*process, error) {
	p := &process{pid: pid, dir: filepath.Join(proc, strconv.Itoa(pid))}
	exe, err := os.Readlink(filepath.Join(p.dir, "exe"))
	switch {
	case errors.Is(err, fs.ErrPermission):
		if comm, _ := readSome(filepath.Join(p.dir, "comm")); isKubelet(strings.TrimSpace(string(comm))) {
			return nil, fmt.Errorf("%q cannot be examined: permission denied", strings.TrimSpace(string(comm)))
		}
		return nil, nil
	case err != nil:
		return nil, nil // ended, a zombie, or a thread of the kernel
	}
	p.exe = strings.TrimSuffix(exe, " (deleted)") // the running file was replaced
	if !isKubelet(filepath.Base(p.exe)) || !trusted(p.dir) {
		return nil, nil
	}
	cmdline, err := readSome(filepath.Join(p.dir, "cmdline"))
	if err != nil || len(cmdline) == 0 {
		return nil, nil
	}
	p.args = strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
	if p.name = p.role(); p.name == "" {
		return nil, nil
	}
	p.cwd, _ = os.Readlink(filepath.Join(p.dir, "cwd"))
	p.root = rootOf(proc, own, p.dir)
	if p.name != "kubelet" {
		p.env = environment(p.dir)
	}
	return p, nil
}

// isKubelet reports whether a program of this name is a kubelet or can have one inside.
func isKubelet(name string) bool {
	return name == "kubelet" || name == "kubelite" || isK3s(name)
}

// isK3s reports whether the name is one of k3s: its command, or what that extracts and runs.
func isK3s(name string) bool { return name == "k3s" || name == "k3s-server" || name == "k3s-agent" }

// role returns what the process is, "" if it is no kubelet. k3s hides its arguments: "k3s
// server" is all of its command line (pkg/cli/server of k3s).
func (p process) role() string {
	name := filepath.Base(p.exe)
	if !isK3s(name) {
		return name
	}
	words := strings.Fields(p.args[0])
	if len(words) == 1 && len(p.args) > 1 {
		words = append(words, p.args[1])
	}
	if len(words) > 1 && (words[1] == "server" || words[1] == "agent") {
		return "k3s " + words[1]
	}
	return ""
}

// ours are how the names of the services begin that run a kubelet.
var ours = []string{"kubelet", "k3s", "rke2", "k0s", "snap.microk8s"}

// unit returns the service of systemd that a process belongs to: that of its control group,
// else the one that its distribution makes. k3s may have been installed under any name.
func (p process) unit() string {
	groups, _ := readSome(filepath.Join(p.dir, "cgroup"))
	for part := range strings.FieldsFuncSeq(string(groups), func(r rune) bool { return r == '/' || r == '\n' }) {
		known := slices.ContainsFunc(ours, func(name string) bool { return strings.HasPrefix(part, name) })
		if strings.HasSuffix(part, ".service") && (known || isK3s(filepath.Base(p.exe))) {
			return part
		}
	}
	switch p.name {
	case "k3s agent":
		return "k3s-agent.service"
	case "k3s server":
		return "k3s.service"
	case "kubelite":
		return "snap.microk8s.daemon-kubelite.service"
	}
	return "kubelet.service"
}

// trusted reports whether a process runs as root or as the user of this process. The name
// alone proves nothing: any user can start a program that is called kubelet. The owner of
// /proc/PID does not prove it either, as it is root for a process that cannot be dumped.
func trusted(dir string) bool {
	status, err := readSome(filepath.Join(dir, "status"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(status)) {
		if ids, ok := strings.CutPrefix(line, "Uid:"); ok {
			return !slices.ContainsFunc(strings.Fields(ids), func(id string) bool {
				return id != "0" && id != strconv.Itoa(os.Geteuid())
			})
		}
	}
	return false
}

// rootOf returns the root of a process: own when it sees the files that this process sees.
func rootOf(proc string, own root, dir string) root {
	theirs := filepath.Join(dir, "root")
	a, err1 := os.Readlink(filepath.Join(proc, "self", "ns", "mnt"))
	b, err2 := os.Readlink(filepath.Join(dir, "ns", "mnt"))
	if err1 == nil && err2 == nil && a == b && root("").same(filepath.Join(proc, "self", "root")+"/", theirs+"/") {
		return own
	}
	return root(theirs)
}

// environment returns the environment that a process was started with.
func environment(dir string) map[string]string {
	b, _ := readSome(filepath.Join(dir, "environ"))
	env := map[string]string{}
	for entry := range strings.SplitSeq(string(b), "\x00") {
		if k, v, ok := strings.Cut(entry, "="); ok {
			env[k] = v
		}
	}
	return env
}
