package kubelet

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/pullrecords"
)

// stoppedNodes are nodes whose kubelet does not run.
var stoppedNodes = []distribution{
	{
		name: "kubeadm",
		make: func(s *system) {
			s.put("/usr/lib/systemd/system/kubelet.service", kubeadmUnit)
			s.put("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", kubeadmDropIn)
			s.put("/etc/default/kubelet", "# site\nKUBELET_EXTRA_ARGS='--hostname-override=n3 --read-only-port 10255'\n")
			s.put("/var/lib/kubelet/kubeadm-flags.env", "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/containerd/containerd.sock --pod-infra-container-image=registry.k8s.io/pause:3.10\"\n")
			s.put("/var/lib/kubelet/config.yaml", kubeletConfig+"staticPodPath: /etc/kubernetes/manifests\n")
			s.program("/usr/bin/kubelet")
		},
		want: Kubelet{
			Root: "/var/lib/kubelet", ConfigFile: "/var/lib/kubelet/config.yaml", Found: "kubelet.service", Kubeconfig: "/etc/kubernetes/kubelet.conf", Version: "v1.35.4", Settings: settings("v1.35.4"),
			Endpoint: "unix:///run/containerd/containerd.sock", StaticPods: "/etc/kubernetes/manifests", Address: "0.0.0.0", Port: 10250, ReadOnlyPort: 10255, NodeName: "n3", ImageGCHighThresholdPercent: 85,
		},
	},
	{
		name: "kubeadm without a unit that can be read",
		make: func(s *system) {
			s.put("/usr/lib/systemd/system/kubelet.service", "[Service]\nExecStart=/usr/local/bin/kubelet-wrapper.sh --fast\n")
			s.put("/var/lib/kubelet/kubeadm-flags.env", "KUBELET_KUBEADM_ARGS=\"--container-runtime-endpoint=unix:///run/containerd/containerd.sock\"\n")
			s.put("/var/lib/kubelet/config.yaml", kubeletConfig+"port: 10260\n")
		},
		want: Kubelet{
			Root: "/var/lib/kubelet", ConfigFile: "/var/lib/kubelet/config.yaml", Found: "/var/lib/kubelet", Settings: settings(""),
			Endpoint: "unix:///run/containerd/containerd.sock", Address: "0.0.0.0", Port: 10260, ImageGCHighThresholdPercent: 85,
		},
	},
	{
		name: "a kubelet of its own, without configuration",
		make: func(s *system) { s.mkdir(s.files + "/var/lib/kubelet/pods") },
		want: Kubelet{
			Root: "/var/lib/kubelet", Found: "/var/lib/kubelet", Settings: settings(""),
			Endpoint: "unix:///run/containerd/containerd.sock", Address: "0.0.0.0", Port: 10250, ReadOnlyPort: 10255, ImageGCHighThresholdPercent: 85,
		},
	},
	{
		name: "k3s after kubeadm reset", containerd: "/run/k3s/containerd/containerd.sock",
		make: func(s *system) {
			s.put("/run/k3s/containerd/containerd.sock", "")
			s.put("/usr/lib/systemd/system/kubelet.service", kubeadmUnit)
			s.put("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", kubeadmDropIn)
			s.put("/etc/systemd/system/k3s.service", k3sUnit)
			s.put("/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/00-k3s-defaults.conf", k3sDefaults)
			s.program("/var/lib/rancher/k3s/data/current/bin/k3s")
			s.mkdir(s.files + "/var/lib/kubelet/pods")
		},
		want: Kubelet{
			Root: "/var/lib/kubelet", Found: "the configuration of k3s", Kubeconfig: "/var/lib/rancher/k3s/agent/kubelet.kubeconfig", Version: "v1.35.4+k3s1",
			Settings: pullrecords.Settings{Policy: pullrecords.NeverVerifyPreloadedImages, Version: "v1.35.4+k3s1"},
			Endpoint: "unix:///run/k3s/containerd/containerd.sock", StaticPods: "/var/lib/rancher/k3s/agent/pod-manifests", Address: "0.0.0.0", Port: 10250, NodeName: "edge-7", ImageGCHighThresholdPercent: 90,
		},
	},
	{
		name: "RKE2", containerd: "/run/k3s/containerd/containerd.sock",
		make: func(s *system) {
			s.put("/run/k3s/containerd/containerd.sock", "")
			s.put("/usr/local/lib/systemd/system/rke2-agent.service", "[Service]\nEnvironment=HOME=/root\nExecStart=/usr/local/bin/rke2 agent --data-dir /srv/rke2\n")
			s.put("/etc/rancher/rke2/config.yaml", "kubelet-arg: root-dir=/srv/kubelet\nnode-name: n9\n")
			s.put("/srv/rke2/agent/etc/kubelet.conf.d/00-rke2-defaults.conf", k3sDefaults)
			s.program("/srv/rke2/bin/kubelet")
			s.mkdir(s.files + "/srv/kubelet/image_manager")
		},
		want: Kubelet{
			Root: "/srv/kubelet", Found: "the configuration of rke2", Kubeconfig: "/srv/rke2/agent/kubelet.kubeconfig", Version: "v1.35.4", Settings: settings("v1.35.4"),
			Endpoint: "unix:///run/k3s/containerd/containerd.sock", StaticPods: "/var/lib/rancher/k3s/agent/pod-manifests", Address: "0.0.0.0", Port: 10250, NodeName: "n9", ImageGCHighThresholdPercent: 90,
		},
	},
	{
		name: "k0s", containerd: "/run/k0s/containerd.sock",
		make: func(s *system) {
			s.put("/run/k0s/containerd.sock", "")
			s.put("/etc/systemd/system/k0sworker.service", "[Service]\nExecStart=/usr/local/bin/k0s worker --token-file=/etc/k0s/token \"--kubelet-extra-args=--feature-gates=KubeletEnsureSecretPulledImages=false --port=10299\"\n")
			s.put("/var/lib/k0s/kubelet-config.yaml", kubeletConfig)
			s.mkdir(s.files + "/var/lib/k0s/kubelet/pods")
			s.program("/var/lib/k0s/bin/kubelet")
		},
		want: Kubelet{
			Root: "/var/lib/k0s/kubelet", ConfigFile: "/var/lib/k0s/kubelet-config.yaml", Found: "the configuration of k0s", Kubeconfig: "/var/lib/k0s/kubelet.conf", Version: "v1.35.4",
			Settings: pullrecords.Settings{Policy: pullrecords.NeverVerifyPreloadedImages, Version: "v1.35.4"},
			Endpoint: "unix:///run/k0s/containerd.sock", Address: "0.0.0.0", Port: 10299, ImageGCHighThresholdPercent: 85,
		},
	},
	{
		name: "microk8s", containerd: "/var/snap/microk8s/common/run/containerd.sock",
		make: func(s *system) {
			s.put("/var/snap/microk8s/common/run/containerd.sock", "")
			s.put("/var/snap/microk8s/9072/args/kubelet", microk8sArgs)
			s.link("9072", s.files+"/var/snap/microk8s/current")
			s.put("/snap/microk8s/9072/meta/snap.yaml", "version: v1.35.0\n")
			s.link("/snap/microk8s/9072", s.files+"/snap/microk8s/current")
			s.mkdir(s.files + "/var/snap/microk8s/common/var/lib/kubelet/pods")
		},
		want: Kubelet{
			Root: "/var/snap/microk8s/common/var/lib/kubelet", Found: "the configuration of microk8s", Kubeconfig: "/var/snap/microk8s/9072/credentials/kubelet.config", Version: "v1.35.0", Settings: settings("v1.35.0"),
			Endpoint: "unix:///var/snap/microk8s/common/run/containerd.sock", Address: "0.0.0.0", Port: 10250, ImageGCHighThresholdPercent: 85,
		},
	},
}

// TestFindStopped checks that a kubelet that does not run is found from the files of its
// distribution.
func TestFindStopped(t *testing.T) {
	for _, d := range stoppedNodes {
		t.Run(d.name, func(t *testing.T) {
			s := newSystem(t)
			d.make(s)
			got, err := s.find(Options{Containerd: d.containerd})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&d.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
		})
	}
}

// TestFindRefuses checks what Find says when it must not choose.
func TestFindRefuses(t *testing.T) {
	for _, test := range []struct {
		name string
		make func(*system)
		o    Options
		want string
	}{
		{
			name: "nothing", make: func(*system) {},
			want: "no kubelet found (no process is a kubelet, no files of a kubelet in /var/lib/kubelet, /var/lib/rancher, /var/lib/k0s/kubelet, /var/snap/microk8s/common/var/lib/kubelet)",
		},
		{
			name: "installed, never run",
			make: func(s *system) {
				s.put("/usr/lib/systemd/system/kubelet.service", kubeadmUnit)
				s.put("/usr/lib/systemd/system/kubelet.service.d/10-kubeadm.conf", kubeadmDropIn)
				s.mkdir(s.files + "/var/lib/kubelet")
			},
			want: "no kubelet found (no process is a kubelet, no files of a kubelet in /var/lib/kubelet, /var/lib/rancher, /var/lib/k0s/kubelet, /var/snap/microk8s/common/var/lib/kubelet)",
		},
		{
			name: "of another container runtime",
			make: func(s *system) {
				s.put("/run/crio/crio.sock", "")
				s.start(7, "/usr/bin/kubelet", "kubelet --container-runtime-endpoint=unix:///run/crio/crio.sock")
			},
			want: "no kubelet found (process 7 (kubelet) has the container runtime unix:///run/crio/crio.sock, no files of a kubelet in /var/lib/kubelet, /var/lib/rancher, /var/lib/k0s/kubelet, /var/snap/microk8s/common/var/lib/kubelet)",
		},
		{
			name: "two processes",
			make: func(s *system) {
				s.start(7, "/usr/bin/kubelet", "kubelet --root-dir=/srv/b")
				s.start(8, "/usr/bin/kubelet", "kubelet --root-dir=/srv/a")
			},
			want: "more than one kubelet: FILES/srv/a, FILES/srv/b; choose one with --kubelet-dir",
		},
		{
			name: "two that do not run",
			make: func(s *system) {
				s.put("/var/lib/kubelet/config.yaml", kubeletConfig)
				s.mkdir(s.files + "/var/lib/k0s/kubelet/pods")
				s.put("/var/lib/k0s/kubelet-config.yaml", kubeletConfig)
				s.put("/etc/systemd/system/k0sworker.service", "[Service]\nExecStart=/usr/local/bin/k0s worker '--kubelet-extra-args=--container-runtime-endpoint=/run/containerd/containerd.sock'\n")
			},
			want: "more than one kubelet: FILES/var/lib/k0s/kubelet, FILES/var/lib/kubelet; choose one with --kubelet-dir",
		},
		{
			name: "a server of k3s without agent", o: Options{Containerd: "/run/k3s/containerd/containerd.sock"},
			make: func(s *system) { s.start(7, "/usr/local/bin/k3s", "k3s server --disable-agent") },
			want: "no kubelet found (process 7 (k3s server) starts no kubelet, no files of a kubelet in /var/lib/kubelet, /var/lib/rancher, /var/lib/k0s/kubelet, /var/snap/microk8s/common/var/lib/kubelet)",
		},
		{
			name: "its configuration is missing",
			make: func(s *system) {
				s.start(7, "/usr/bin/kubelet", "kubelet --config /etc/kubelet.yaml")
			},
			want: "FILES/etc/kubelet.yaml: no such file or directory",
		},
		{
			name: "a flag that no kubelet starts with",
			make: func(s *system) { s.start(7, "/usr/bin/kubelet", "kubelet --port=many") },
			want: `the flags of process 7 (kubelet): --port "many": strconv.ParseInt: parsing "many": invalid syntax`,
		},
		{
			name: "the file of k3s is not YAML", o: Options{Containerd: "/run/k3s/containerd/containerd.sock"},
			make: func(s *system) {
				s.put("/etc/rancher/k3s/config.yaml", "a: b\n\tc: d\n")
				s.start(7, "/usr/local/bin/k3s", "k3s server")
			},
			want: "FILES/etc/rancher/k3s/config.yaml: line 2: found a tab character that violates indentation",
		},
		{
			name: "--kubelet-dir that is none", o: Options{Dir: "/nowhere"}, make: func(*system) {},
			want: "no kubelet found (stat /nowhere: no such file or directory)",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSystem(t)
			test.make(s)
			k, err := s.find(test.o)
			if err == nil {
				t.Fatalf("found %+v", k)
			}
			if got := strings.ReplaceAll(err.Error(), s.files, "FILES"); got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// TestFindDir checks that --kubelet-dir decides over the directory, and that the process
// that uses it is still found, whatever its container runtime.
func TestFindDir(t *testing.T) {
	s := newSystem(t)
	dir := s.files + "/srv/kubelet"
	s.mkdir(dir)
	s.put("/var/lib/kubelet/config.yaml", kubeletConfig)
	k, err := s.find(Options{Dir: dir})
	if err != nil || k.Root != "/srv/kubelet" || k.Found != "--kubelet-dir" || k.PID != 0 || k.Running {
		t.Errorf("empty directory: got %+v, %v", k, err)
	}
	s.put("/srv/kubelet/config.yaml", kubeletConfig+"port: 99\n")
	t.Chdir(s.files)
	if k, err = s.find(Options{Dir: "srv/kubelet"}); err != nil || k.Port != 99 {
		t.Errorf("with config.yaml: got %+v, %v", k, err)
	}
	s.start(7, "/usr/bin/kubelet", "kubelet --root_dir /srv/../srv/kubelet --container_runtime_endpoint=/run/crio/crio.sock --read-only-port 5")
	s.start(8, "/usr/bin/kubelet", "kubelet --config=/missing")
	k, err = s.find(Options{Dir: dir})
	if err != nil || k.PID != 7 || !k.Running || k.ReadOnlyPort != 5 || k.Endpoint != "unix:///run/crio/crio.sock" || k.Root != "/srv/kubelet" {
		t.Errorf("with a process: got %+v, %v", k, err)
	}
}

// TestFindNamespace checks that the files of a kubelet in a container are those that it
// sees, with its own symbolic links, and that its containerd is recognised by the file of
// the socket, not by the name.
func TestFindNamespace(t *testing.T) {
	s := newSystem(t)
	s.put("/var/lib/kubelet/config.yaml", "a file of the host, not of the kubelet")
	inside := s.files + "/containers/kind"
	s.write(inside+"/kind/kubelet.yaml", kubeletConfig+"staticPodPath: manifests\n")
	s.mkdir(inside + "/var/lib/data/kubelet")
	s.link("/var/lib/data/kubelet", inside+"/var/lib/kubelet")
	s.link("/kind/kubelet.yaml", inside+"/var/lib/data/kubelet/config.yaml")
	s.link("../run", inside+"/var/run")
	s.mkdir(inside + "/run/containerd")
	s.check(os.Link(s.files+"/run/containerd/containerd.sock", inside+"/run/containerd/containerd.sock"))
	dir := s.start(77, "/usr/bin/kubelet", "/usr/bin/kubelet --config=/var/lib/kubelet/config.yaml --container-runtime-endpoint=unix:///var/run/containerd/containerd.sock")
	s.check(os.Remove(filepath.Join(dir, "root")))
	s.link(inside, filepath.Join(dir, "root"))
	s.check(os.Remove(filepath.Join(dir, "ns", "mnt")))
	s.link("mnt:[2]", filepath.Join(dir, "ns", "mnt"))

	k, err := s.find(Options{})
	if err != nil {
		t.Fatal(err)
	}
	below := filepath.Join(s.proc, "77", "root")
	if k.Root != below+"/var/lib/data/kubelet" || k.ConfigFile != below+"/kind/kubelet.yaml" || k.StaticPods != below+"/var/lib/data/kubelet/manifests" || !k.Running {
		t.Errorf("got %+v", k)
	}

	s.check(os.Remove(inside + "/run/containerd/containerd.sock"))
	s.write(inside+"/run/containerd/containerd.sock", "")
	if k, err := s.find(Options{}); err == nil {
		t.Errorf("with a containerd of its own: got %+v", k)
	}
}

// TestFindTrustsRoot checks that a program of another user that is called kubelet is
// neither believed nor executed.
func TestFindTrustsRoot(t *testing.T) {
	s := newSystem(t)
	dir := s.start(7, "/usr/bin/kubelet", "kubelet")
	s.write(filepath.Join(dir, "status"), "Name:\tkubelet\nUid:\t0\t4711\t0\t0\n")
	var none *NotFoundError
	if k, err := s.find(Options{}); !errors.As(err, &none) {
		t.Errorf("got %+v, %v", k, err)
	}
}

// TestRunning checks that a kubelet whose process is not visible is found by its socket.
func TestRunning(t *testing.T) {
	s := newSystem(t)
	s.put("/var/lib/kubelet/config.yaml", kubeletConfig)
	dir := s.files + "/var/lib/kubelet/pod-resources"
	s.mkdir(dir)
	running := func() bool {
		t.Helper()
		k, err := s.find(Options{})
		s.check(err)
		return k.Running
	}
	if running() {
		t.Error("without a socket: it runs")
	}
	t.Chdir(dir) // the name of a socket is short
	l, err := net.Listen("unix", "kubelet.sock")
	s.check(err)
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if !running() {
		t.Error("with a kubelet at the socket: it does not run")
	}
	s.check(l.Close())
	if running() {
		t.Error("with a socket left by a kubelet that was killed: it runs")
	}
}

// TestIdentity checks that a kubelet has a number of its own after a restart and after a boot.
func TestIdentity(t *testing.T) {
	s := newSystem(t)
	s.start(7, "/usr/bin/kubelet", "kubelet")
	s.mkdir(s.files + "/var/lib/kubelet")
	seen := map[uint32]bool{}
	for _, boot := range []string{"b0", "b1"} {
		for _, ticks := range []string{"5000", "5001"} {
			s.write(filepath.Join(s.proc, "7", "stat"), "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 9 0 "+ticks+" 1 1\n")
			s.write(filepath.Join(s.proc, "sys/kernel/random/boot_id"), boot)
			k, err := s.find(Options{})
			s.check(err)
			if id := k.Settings.Process; seen[id] || id <= pullrecords.UnknownProcess || id > pullrecords.MaxProcess {
				t.Errorf("boot %s, start %s: %d, of %v", boot, ticks, id, seen)
			}
			seen[k.Settings.Process] = true
		}
	}
	s.check(os.Remove(filepath.Join(s.proc, "7", "stat")))
	if k, err := s.find(Options{}); err != nil || k.Settings.Process != pullrecords.UnknownProcess {
		t.Errorf("a start that is not known: %+v, %v", k, err)
	}
}

// TestChanged checks that files of the configuration that the kubelet has not read yet are
// named.
func TestChanged(t *testing.T) {
	s := newSystem(t)
	const boot, start = 1_000_000, 1_000_050
	s.write(filepath.Join(s.proc, "stat"), fmt.Sprintf("cpu  1 2 3\nbtime %d\nprocesses 7\n", boot))
	agent := "/var/lib/rancher/rke2/agent/etc/kubelet.conf.d/"
	for name, at := range map[string]int64{
		"/etc/k.yaml":                      start - 100,
		agent + "00-rke2-defaults.conf":    start + 60, // RKE2 has written it for this start
		agent + "10-site.conf":             start,
		agent + "20-site.conf":             start + 60,
		agent + "20-cli-config-dir/x.conf": start + 60,
	} {
		s.put(name, kubeletConfig)
		s.check(os.Chtimes(s.files+name, time.Unix(at, 0), time.Unix(at, 0)))
	}
	dir := s.start(7, "/usr/bin/kubelet", "kubelet --config=/etc/k.yaml --config-dir="+agent)
	s.write(filepath.Join(dir, "stat"), "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 1 1 0 0 20 0 9 0 5000 1 1\n")
	k, err := s.find(Options{})
	s.check(err)
	if want := []string{s.files + agent + "20-site.conf"}; !slices.Equal(k.Changed, want) {
		t.Errorf("got %q, want %q", k.Changed, want)
	}
}
