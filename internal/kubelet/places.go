package kubelet

import (
	"os"
	"path/filepath"
	"strings"
)

// start is how a kubelet is started, or would be.
type start struct {
	found    string   // how it was found
	pid      int      // 0: it does not run
	unit     string   // of systemd, which the process belongs to
	exe      string   // of the process, to be executed
	name     string   // of exe
	root     root     // of all paths
	dir      string   // its working directory
	args     []string // its flags
	base     config   // what its distribution sets before them
	programs []string // where its executable may be; asked for the version
	release  string   // a file that has the version, "" for none
	files    []string // that args are from
	off      bool     // its distribution is told to start none
}

// ofProcess returns how the kubelet of a process was started.
func ofProcess(p process) (start, error) {
	s := start{root: p.root, dir: p.cwd, args: p.args[1:]}
	var err error
	switch p.name {
	case "kubelite":
		s, err = kubelite(p.root, p.args, p.env)
		s.release = filepath.Join(filepath.Dir(p.exe), "meta", "snap.yaml")
	case "k3s server", "k3s agent":
		// k3s hides its arguments; those of its unit are the same.
		args := p.args
		if u := p.root.readUnit(p.unit()); len(args) == 1 && u != nil {
			args = u.args
		}
		s, err = rancher(p.root, "k3s", args, p.env)
	}
	s.found, s.pid, s.unit = p.String(), p.pid, p.unit()
	s.exe, s.name = filepath.Join(p.dir, "exe"), filepath.Base(p.exe)
	return s, err
}

// distributions find a kubelet that does not run by what its distribution has on disk. Each
// returns nil when there is nothing of it.
var distributions = []func(root) (*start, error){kubeadm, k3s, rke2, k0s, microk8s}

// defaultRoot is the kubelet's --root-dir by default, which k3s and RKE2 do not change
// either (k3s before 0.10 and rootless k3s do).
const defaultRoot = "/var/lib/kubelet"

// signs are entries of the root directory of a kubelet.
var signs = []string{"config.yaml", "kubeadm-flags.env", "image_manager", "pods"}

// hasSigns reports whether a directory is, or was, the root of a kubelet.
func hasSigns(r root, dir string) bool {
	for _, name := range signs {
		if r.exists(filepath.Join(dir, name)) {
			return true
		}
	}
	return false
}

// kubeadm returns the kubelet of the service kubelet, which kubeadm, minikube and kind use,
// or of the files that kubeadm writes.
func kubeadm(r root) (*start, error) {
	if u := r.readUnit("kubelet.service"); u != nil && filepath.Base(u.args[0]) == "kubelet" {
		return &start{found: "kubelet.service", root: r, dir: "/", args: u.args[1:], programs: u.args[:1]}, nil
	}
	return ofFiles(r, defaultRoot), nil
}

// ofFiles returns the kubelet of the files that kubeadm writes to its root directory, nil
// without one.
func ofFiles(r root, dir string) *start {
	s := &start{found: dir, root: r, dir: "/", args: []string{"--root-dir=" + dir}, programs: []string{"/usr/bin/kubelet", "/usr/local/bin/kubelet", "/opt/bin/kubelet"}}
	file, env := filepath.Join(dir, "config.yaml"), filepath.Join(dir, "kubeadm-flags.env")
	if !r.exists(file) && !r.exists(env) {
		return nil
	}
	if r.exists(file) {
		s.args = append(s.args, "--config="+file)
	}
	s.args = append(s.args, words(r.environmentFile(env)["KUBELET_KUBEADM_ARGS"])...)
	return s
}

// k3s returns the kubelet of an installed k3s.
func k3s(r root) (*start, error) { return installed(r, "k3s", "k3s.service", "k3s-agent.service") }

// rke2 returns the kubelet of an installed RKE2.
func rke2(r root) (*start, error) {
	return installed(r, "rke2", "rke2-server.service", "rke2-agent.service")
}

// installed returns the kubelet of an installed k3s or RKE2.
func installed(r root, name string, units ...string) (*start, error) {
	u := unit{}
	for _, service := range units {
		if found := r.readUnit(service); found != nil {
			u = *found
			break
		}
	}
	if u.args == nil && !r.exists(filepath.Join("/var/lib/rancher", name, "agent")) {
		return nil, nil
	}
	s, err := rancher(r, name, u.args, u.env)
	s.found = "the configuration of " + name
	return &s, err
}

// k0s returns the kubelet of an installed k0s (pkg/component/worker/kubelet.go of k0s).
func k0s(r root) (*start, error) {
	o := options{}
	for _, service := range []string{"k0sworker.service", "k0scontroller.service"} {
		if u := r.readUnit(service); u != nil {
			o = cliOptions(u.args)
			break
		}
	}
	data := o.last("data-dir", "/var/lib/k0s")
	dir := o.last("kubelet-root-dir", filepath.Join(data, "kubelet"))
	if !r.exists(dir) {
		return nil, nil
	}
	s := &start{
		found: "the configuration of k0s", root: r, dir: "/",
		base:     config{Endpoint: "unix:///run/k0s/containerd.sock"},
		args:     []string{"--root-dir=" + dir, "--kubeconfig=" + filepath.Join(data, "kubelet.conf")},
		programs: []string{filepath.Join(data, "bin", "kubelet")},
	}
	if file := filepath.Join(data, "kubelet-config.yaml"); r.exists(file) {
		s.args = append(s.args, "--config="+file)
	}
	s.args = append(s.args, words(o.last("kubelet-extra-args", ""))...)
	return s, nil
}

// The directories of the snap microk8s.
const (
	snap       = "/snap/microk8s/current"
	snapData   = "/var/snap/microk8s/current"
	snapCommon = "/var/snap/microk8s/common"
)

// microk8s returns the kubelet of an installed microk8s.
func microk8s(r root) (*start, error) {
	if !r.exists(snapData + "/args/kubelet") {
		return nil, nil
	}
	s, err := kubelite(r, nil, nil)
	s.found, s.release = "the configuration of microk8s", snap+"/meta/snap.yaml"
	return &s, err
}

// kubelite returns the kubelet of microk8s, whose flags are in a file: words with variables
// and without quotes, a line that begins with "#" is a comment (build-scripts/components of
// microk8s, Kubelite-integration.patch).
func kubelite(r root, args []string, env map[string]string) (start, error) {
	file := cliOptions(args).last("kubelet-args-file", snapData+"/args/kubelet")
	s := start{root: r, dir: "/", files: []string{file}}
	text, err := r.read(file)
	if err != nil {
		return s, &ConfigError{File: r.path(file), Err: err}
	}
	value := func(name string) string {
		if v, ok := env[name]; ok {
			return v
		}
		return map[string]string{"SNAP": snap, "SNAP_DATA": snapData, "SNAP_COMMON": snapCommon}[name]
	}
	for line := range strings.Lines(string(text)) {
		line = strings.NewReplacer(`"`, "", `'`, "").Replace(strings.TrimSpace(line))
		if strings.HasPrefix(line, "#") {
			continue
		}
		for word := range strings.FieldsSeq(line) {
			s.args = append(s.args, os.Expand(word, value))
		}
	}
	return s, nil
}
