package kubelet

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/pullrecords"
)

// TestMain answers --version as a kubelet does: the fake kubelets are the test's own executable.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "--version" {
		printVersion(filepath.Base(os.Args[0]))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// system is a made-up system: files below files, processes below proc.
type system struct {
	t           *testing.T
	files, proc string
}

func newSystem(t *testing.T) *system {
	t.Helper()
	dir := t.TempDir()
	s := &system{t: t, files: filepath.Join(dir, "files"), proc: filepath.Join(dir, "proc")}
	s.put("/run/containerd/containerd.sock", "")
	s.mkdir(filepath.Join(s.proc, "self", "ns"))
	s.link("mnt:[1]", filepath.Join(s.proc, "self", "ns", "mnt"))
	s.link(s.files, filepath.Join(s.proc, "self", "root"))
	return s
}

func (s *system) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) mkdir(dir string)     { s.t.Helper(); s.check(os.MkdirAll(dir, 0o755)) }
func (s *system) link(to, path string) { s.t.Helper(); s.check(os.Symlink(to, path)) }
func (s *system) write(path, text string) {
	s.t.Helper()
	s.mkdir(filepath.Dir(path))
	s.check(os.WriteFile(path, []byte(text), 0o644))
}

// put writes a file of the system.
func (s *system) put(name, text string) { s.t.Helper(); s.write(s.files+name, text) }

// program makes an executable of the system that answers --version.
func (s *system) program(name string) {
	s.t.Helper()
	self, err := os.Executable()
	s.check(err)
	s.mkdir(filepath.Dir(s.files + name))
	if os.Link(self, s.files+name) == nil {
		return
	}
	b, err := os.ReadFile(self) // on another file system
	s.check(err)
	s.check(os.WriteFile(s.files+name, b, 0o755))
}

// start adds a process of root with the files of the system.
func (s *system) start(pid int, exe, cmdline string, env ...string) string {
	s.t.Helper()
	dir := filepath.Join(s.proc, strconv.Itoa(pid))
	s.mkdir(filepath.Join(dir, "ns"))
	s.link("mnt:[1]", filepath.Join(dir, "ns", "mnt"))
	s.link(s.files, filepath.Join(dir, "root"))
	s.link("/", filepath.Join(dir, "cwd"))
	s.link(s.files+exe, filepath.Join(dir, "exe"))
	s.write(filepath.Join(dir, "status"), "Name:\tx\nUid:\t0\t0\t0\t0\n")
	s.write(filepath.Join(dir, "cmdline"), strings.ReplaceAll(cmdline, " ", "\x00")+"\x00")
	s.write(filepath.Join(dir, "environ"), strings.Join(env, "\x00")+"\x00")
	return dir
}

// find returns the kubelet of the system, its paths as the system has them.
func (s *system) find(o Options) (*Kubelet, error) {
	if o.Containerd == "" {
		o.Containerd = "/run/containerd/containerd.sock"
	}
	o.Containerd = s.files + o.Containerd
	k, err := finder{proc: s.proc, root: root(s.files)}.find(s.t.Context(), o)
	if k != nil {
		for _, path := range []*string{&k.Root, &k.ConfigFile, &k.StaticPods, &k.Kubeconfig} {
			*path = strings.TrimPrefix(*path, s.files)
		}
	}
	return k, err
}

// settings returns those of a kubelet that verifies pulls as it does by default.
func settings(version string) pullrecords.Settings {
	return pullrecords.Settings{Enabled: true, Policy: pullrecords.NeverVerifyPreloadedImages, Version: version}
}

const (
	kubeletConfig = "apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n"

	// kubeadmUnit and kubeadmDropIn are the service of the package kubelet and the drop-in
	// of the package kubeadm.
	kubeadmUnit   = "[Unit]\nDescription=kubelet: The Kubernetes Node Agent\n[Service]\nExecStart=/usr/bin/kubelet\nRestart=always\n[Install]\nWantedBy=multi-user.target\n"
	kubeadmDropIn = `# Note: This dropin only works with kubeadm and kubelet v1.11+
[Service]
Environment="KUBELET_KUBECONFIG_ARGS=--bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf"
Environment="KUBELET_CONFIG_ARGS=--config=/var/lib/kubelet/config.yaml"
EnvironmentFile=-/var/lib/kubelet/kubeadm-flags.env
EnvironmentFile=-/etc/default/kubelet
ExecStart=
ExecStart=/usr/bin/kubelet $KUBELET_KUBECONFIG_ARGS $KUBELET_CONFIG_ARGS $KUBELET_KUBEADM_ARGS $KUBELET_EXTRA_ARGS
`
	microk8sArgs = `--kubeconfig=${SNAP_DATA}/credentials/kubelet.config
--root-dir=${SNAP_COMMON}/var/lib/kubelet
# --read-only-port=10255
--feature-gates=DevicePlugins=true
--eviction-hard="memory.available<100Mi,nodefs.available<1Gi,imagefs.available<1Gi"
--container-runtime-endpoint=${SNAP_COMMON}/run/containerd.sock
--node-labels="microk8s.io/cluster=true,node.kubernetes.io/microk8s-controlplane=microk8s-controlplane"
--read-only-port=0
`
	k3sDefaults = kubeletConfig + `address: 0.0.0.0
containerRuntimeEndpoint: unix:///run/k3s/containerd/containerd.sock
imageGCHighThresholdPercent: 90
staticPodPath: /var/lib/rancher/k3s/agent/pod-manifests
`
	k3sUnit = `[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/systemd/system/k3s.service.env
KillMode=process
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStart=/usr/local/bin/k3s \
    server \
	'--flannel-backend=none' \
	'--kubelet-arg=feature-gates=KubeletEnsureSecretPulledImages=false' \
	'--node-name' 'edge-7'

`
)

// distribution is a node of a distribution, with the command lines that ps shows there.
type distribution struct {
	name       string
	containerd string
	make       func(*system)
	want       Kubelet
}

// runningNodes are nodes whose kubelet runs.
var runningNodes = []distribution{
	{
		name: "kubeadm",
		make: func(s *system) {
			s.put("/var/lib/kubelet/config.yaml", kubeletConfig+"staticPodPath: /etc/kubernetes/manifests\nimagePullCredentialsVerificationPolicy: AlwaysVerify\n")
			s.program("/usr/bin/kubelet")
			s.start(812, "/usr/bin/kubelet", "/usr/bin/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --kubeconfig=/etc/kubernetes/kubelet.conf --config=/var/lib/kubelet/config.yaml --container-runtime-endpoint=unix:///run/containerd/containerd.sock --pod-infra-container-image=registry.k8s.io/pause:3.10")
			s.write(filepath.Join(s.proc, "812", "cgroup"), "0::/system.slice/kubelet.service\n")
		},
		want: Kubelet{
			Service: "kubelet",
			Root:    "/var/lib/kubelet", ConfigFile: "/var/lib/kubelet/config.yaml", Found: "process 812 (kubelet)", PID: 812, Kubeconfig: "/etc/kubernetes/kubelet.conf", Version: "v1.35.4",
			Settings: pullrecords.Settings{Enabled: true, Policy: pullrecords.AlwaysVerify, Version: "v1.35.4"},
			Endpoint: "unix:///run/containerd/containerd.sock", StaticPods: "/etc/kubernetes/manifests", Address: "0.0.0.0", Port: 10250, ImageGCHighThresholdPercent: 85,
		},
	},
	{
		name: "minikube",
		make: func(s *system) {
			s.put("/var/lib/kubelet/config.yaml", kubeletConfig+"staticPodPath: /etc/kubernetes/manifests\nimageGCHighThresholdPercent: 100\n")
			s.program("/var/lib/minikube/binaries/v1.35.4/kubelet")
			s.start(2210, "/var/lib/minikube/binaries/v1.35.4/kubelet", "/var/lib/minikube/binaries/v1.35.4/kubelet --bootstrap-kubeconfig=/etc/kubernetes/bootstrap-kubelet.conf --cgroups-per-qos=false --config=/var/lib/kubelet/config.yaml --enforce-node-allocatable= --hostname-override=minikube --kubeconfig=/etc/kubernetes/kubelet.conf --node-ip=192.0.2.49")
		},
		want: Kubelet{
			Service: "kubelet",
			Root:    "/var/lib/kubelet", ConfigFile: "/var/lib/kubelet/config.yaml", Found: "process 2210 (kubelet)", PID: 2210, Kubeconfig: "/etc/kubernetes/kubelet.conf", Version: "v1.35.4", Settings: settings("v1.35.4"),
			Endpoint: "unix:///run/containerd/containerd.sock", StaticPods: "/etc/kubernetes/manifests", Address: "0.0.0.0", Port: 10250, NodeName: "minikube", ImageGCHighThresholdPercent: 100,
		},
	},
	{
		name: "k3s", containerd: "/run/k3s/containerd/containerd.sock",
		make: func(s *system) {
			s.put("/run/k3s/containerd/containerd.sock", "")
			s.put("/etc/systemd/system/k3s-edge.service", k3sUnit) // INSTALL_K3S_NAME=edge
			s.put("/etc/rancher/k3s/config.yaml", "write-kubeconfig-mode: \"0644\"\nkubelet-arg:\n- image-gc-high-threshold=95\n")
			s.put("/etc/rancher/k3s/config.yaml.d/10-more.yaml", "kubelet-arg+:\n- port=10251\n- config=/etc/kubelet.yaml\n")
			s.put("/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/00-k3s-defaults.conf", k3sDefaults)
			s.put("/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/50-site.conf", kubeletConfig+"imagePullCredentialsVerificationPolicy: NeverVerify\n")
			s.program("/var/lib/rancher/k3s/data/0a1b/bin/k3s")
			s.start(933, "/var/lib/rancher/k3s/data/0a1b/bin/k3s", "/usr/local/bin/k3s server")
			s.unmask(933)
			s.write(filepath.Join(s.proc, "933", "cgroup"), "12:pids:/system.slice/k3s-edge.service\n1:name=systemd:/system.slice/k3s-edge.service\n")
		},
		want: Kubelet{
			Service: "k3s-edge",
			Root:    "/var/lib/kubelet", Found: "process 933 (k3s server)", PID: 933, Kubeconfig: "/var/lib/rancher/k3s/agent/kubelet.kubeconfig", Version: "v1.35.4+k3s1",
			Settings: pullrecords.Settings{Policy: pullrecords.NeverVerify, Version: "v1.35.4+k3s1"},
			Endpoint: "unix:///run/k3s/containerd/containerd.sock", StaticPods: "/var/lib/rancher/k3s/agent/pod-manifests", Address: "0.0.0.0", Port: 10251, NodeName: "edge-7", ImageGCHighThresholdPercent: 95,
		},
	},
	{
		name: "k3s 1.30 in a container, without systemd and drop-ins", containerd: "/run/k3s/containerd/containerd.sock",
		make: func(s *system) {
			s.put("/run/k3s/containerd/containerd.sock", "")
			s.program("/bin/k3s")
			s.start(41, "/bin/k3s", "/bin/k3s agent", "K3S_NODE_NAME=k3d-agent-0", "K3S_TOKEN=hidden")
		},
		want: Kubelet{
			Service: "k3s-agent",
			Root:    "/var/lib/kubelet", Found: "process 41 (k3s agent)", PID: 41, Kubeconfig: "/var/lib/rancher/k3s/agent/kubelet.kubeconfig", Version: "v1.35.4+k3s1", Settings: settings("v1.35.4+k3s1"),
			Endpoint: "unix:///run/k3s/containerd/containerd.sock", StaticPods: "/var/lib/rancher/k3s/agent/pod-manifests", Address: "0.0.0.0", Port: 10250, NodeName: "k3d-agent-0", ImageGCHighThresholdPercent: 85,
		},
	},
	{
		name: "RKE2", containerd: "/run/k3s/containerd/containerd.sock",
		make: func(s *system) {
			s.put("/run/k3s/containerd/containerd.sock", "")
			s.put("/var/lib/rancher/rke2/agent/etc/kubelet.conf.d/00-rke2-defaults.conf", strings.ReplaceAll(k3sDefaults, "k3s/agent", "rke2/agent"))
			s.program("/usr/local/bin/rke2")
			s.start(700, "/usr/local/bin/rke2", "/usr/local/bin/rke2 server")
			s.program("/var/lib/rancher/rke2/data/v1.35.4-rke2r1/bin/kubelet")
			s.start(744, "/var/lib/rancher/rke2/data/v1.35.4-rke2r1/bin/kubelet", "kubelet --volume-plugin-dir=/var/lib/kubelet/volumeplugins --file-check-frequency=5s --sync-frequency=30s --cloud-provider=external --config-dir=/var/lib/rancher/rke2/agent/etc/kubelet.conf.d --hostname-override=n1 --kubeconfig=/var/lib/rancher/rke2/agent/kubelet.kubeconfig --node-ip=192.0.2.7 --node-labels= --read-only-port=0")
			s.write(filepath.Join(s.proc, "744", "cgroup"), "0::/system.slice/rke2-server.service\n")
		},
		want: Kubelet{
			Service: "rke2-server",
			Root:    "/var/lib/kubelet", Found: "process 744 (kubelet)", PID: 744, Kubeconfig: "/var/lib/rancher/rke2/agent/kubelet.kubeconfig", Version: "v1.35.4", Settings: settings("v1.35.4"),
			Endpoint: "unix:///run/k3s/containerd/containerd.sock", StaticPods: "/var/lib/rancher/rke2/agent/pod-manifests", Address: "0.0.0.0", Port: 10250, NodeName: "n1", ImageGCHighThresholdPercent: 90,
		},
	},
	{
		name: "k0s", containerd: "/run/k0s/containerd.sock",
		make: func(s *system) {
			s.put("/run/k0s/containerd.sock", "")
			s.put("/var/lib/k0s/kubelet-config.yaml", `{"apiVersion":"kubelet.config.k8s.io/v1beta1","kind":"KubeletConfiguration","featureGates":{"AllBeta":false}}`)
			s.program("/usr/local/bin/k0s")
			s.start(500, "/usr/local/bin/k0s", "/usr/local/bin/k0s worker --token-file=/etc/k0s/token")
			s.program("/var/lib/k0s/bin/kubelet")
			s.start(555, "/var/lib/k0s/bin/kubelet", "/var/lib/k0s/bin/kubelet --cert-dir=/var/lib/k0s/kubelet/pki --config=/var/lib/k0s/kubelet-config.yaml --container-runtime-endpoint=unix:///run/k0s/containerd.sock --containerd=/run/k0s/containerd.sock --kubeconfig=/var/lib/k0s/kubelet.conf --root-dir=/var/lib/k0s/kubelet --runtime-cgroups=/system.slice/containerd.service --v=1")
			s.write(filepath.Join(s.proc, "555", "cgroup"), "0::/system.slice/k0sworker.service\n")
		},
		want: Kubelet{
			Service: "k0sworker",
			Root:    "/var/lib/k0s/kubelet", ConfigFile: "/var/lib/k0s/kubelet-config.yaml", Found: "process 555 (kubelet)", PID: 555, Kubeconfig: "/var/lib/k0s/kubelet.conf", Version: "v1.35.4",
			Settings: pullrecords.Settings{Policy: pullrecords.NeverVerifyPreloadedImages, Version: "v1.35.4"},
			Endpoint: "unix:///run/k0s/containerd.sock", Address: "0.0.0.0", Port: 10250, ImageGCHighThresholdPercent: 85,
		},
	},
	{
		name: "microk8s", containerd: "/var/snap/microk8s/common/run/containerd.sock",
		make: func(s *system) {
			s.put("/var/snap/microk8s/common/run/containerd.sock", "")
			s.put("/var/snap/microk8s/9072/args/kubelet", microk8sArgs)
			s.put("/snap/microk8s/9072/meta/snap.yaml", "name: microk8s\nversion: v1.34.3\n")
			s.program("/snap/microk8s/9072/kubelite")
			dir := s.start(86109, "/snap/microk8s/9072/kubelite", "/snap/microk8s/9072/kubelite --scheduler-args-file=/var/snap/microk8s/9072/args/kube-scheduler --kubelet-args-file=/var/snap/microk8s/9072/args/kubelet --start-control-plane=true", "SNAP_DATA=/var/snap/microk8s/9072", "SNAP_COMMON=/var/snap/microk8s/common")
			s.check(os.Remove(filepath.Join(dir, "exe")))
			s.link("/snap/microk8s/9072/kubelite", filepath.Join(dir, "exe"))
		},
		want: Kubelet{
			Service: "snap.microk8s.daemon-kubelite",
			Root:    "/var/snap/microk8s/common/var/lib/kubelet", Found: "process 86109 (kubelite)", PID: 86109, Kubeconfig: "/var/snap/microk8s/9072/credentials/kubelet.config", Version: "v1.34.3",
			Settings: pullrecords.Settings{Policy: pullrecords.NeverVerifyPreloadedImages, Version: "v1.34.3"},
			Endpoint: "unix:///var/snap/microk8s/common/run/containerd.sock", Address: "0.0.0.0", Port: 10250, ImageGCHighThresholdPercent: 85,
		},
	},
}

// unmask sets the only argument of a process that hides the others: "k3s server", and what
// is left of the longer command line.
func (s *system) unmask(pid int) {
	s.t.Helper()
	s.write(filepath.Join(s.proc, strconv.Itoa(pid), "cmdline"), "/usr/local/bin/k3s server\x00\x00\x00\x00\x00\x00\x00\x00")
}

// TestFindRunning checks that the kubelet of each distribution is found from its processes,
// beside one of another container runtime.
func TestFindRunning(t *testing.T) {
	for _, d := range runningNodes {
		t.Run(d.name, func(t *testing.T) {
			s := newSystem(t)
			d.make(s)
			s.put("/run/crio/crio.sock", "")
			s.mkdir(s.files + d.want.Root)
			s.program("/opt/other/kubelet")
			s.start(9, "/opt/other/kubelet", "kubelet --root-dir /srv/kubelet --container-runtime-endpoint unix:///run/crio/crio.sock")
			s.start(10, "/usr/bin/vi", "vi /usr/bin/kubelet kubelet")
			got, err := s.find(Options{Containerd: d.containerd})
			if err != nil {
				t.Fatal(err)
			}
			d.want.Running, d.want.Settings.Process = true, pullrecords.UnknownProcess
			if diff := cmp.Diff(&d.want, got); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			got, err = s.find(Options{Containerd: d.containerd, NoVersion: true})
			if err != nil || got.Version != "" || got.Root != d.want.Root {
				t.Errorf("without the version: %+v, %v", got, err)
			}
		})
	}
}
