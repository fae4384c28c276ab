//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
)

// sick is a pod that waits, with the first cause that load why must state and a part of the
// first cure.
type sick struct {
	name, image, policy string
	reason              string // of the kubelet, to wait for
	cause, cure         string
}

// The registries of a node with faults. Each is configured in a hosts.toml of its own.
const (
	openRegistry    = "open.test"    // serves everything
	limitedRegistry = "limited.test" // its pull limit is used up
	busyRegistry    = "busy.test"    // refuses every request for its rate
	closedRegistry  = "closed.test"  // wants an account
	strangeRegistry = "strange.test" // has a certificate of an unknown authority
	deadRegistry    = "dead.test"    // does not listen
)

// sickPods are pods of a real kubelet that wait, one for each kind of cause.
var sickPods = []sick{
	{"limit", limitedRegistry + "/site/limited:1", "", "ImagePullBackOff", "pull-limit", "usb/bundles/limit.tar.gz"},
	{"rate", busyRegistry + "/site/rate:1", "", "ImagePullBackOff", "request-rate", "bundle --platform"},
	{"account", closedRegistry + "/site/account:1", "", "ImagePullBackOff", "refused", "bundle --platform"},
	{"authority", strangeRegistry + "/site/authority:1", "", "ImagePullBackOff", "certificate-authority", "as ca in"},
	{"dns", "docker.io/site/dns:1", "", "ImagePullBackOff", "dns", "bundle --platform"},
	{"dead", deadRegistry + "/site/absent:1", "", "ImagePullBackOff", "unreachable", "bundle --platform"},
	{"tag", openRegistry + "/site/absent:1", "", "ImagePullBackOff", "not-found", "check the name"},
	{"platform", openRegistry + "/site/other:1", "", "ImagePullBackOff", "wrong-platform", "bundle --dry-run"},
	{"always", deadRegistry + "/site/app:1", "Always", "ImagePullBackOff", "policy-always", "load serve"},
	{"never", deadRegistry + "/site/absent:2", "Never", "ErrImageNeverPull", "policy-never", "bundle --platform"},
	{"name", "Open.test/Site/App:1", "", "InvalidImageName", "invalid-name", "bundle scan"},
	{"namespace", deadRegistry + "/site/elsewhere:1", "", "ImagePullBackOff", "wrong-namespace", "ctr -a"},
	{"twin", "quay.io/site/app:1", "", "ImagePullBackOff", "other-name", "images tag " + deadRegistry + "/site/app:1"},
	{"records", deadRegistry + "/copy/pulled:1", "", "ImagePullBackOff", "pull-records", "load serve"},
}

// TestWhy makes the pods of a real kubelet wait for every kind of cause and checks that
// "load why" states the right one first, and nothing about pods that do not wait.
func TestWhy(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	m := newMachine(t, smallDisk, "")
	site := newFaultySite(t, m)
	n := m.startNode(t, site.config(t))
	k := n.startKubelet(t, nil)
	fine := newPod("fine", container{Image: deadRegistry + "/site/app:1", ImagePullPolicy: "Never", Args: []string{"sleep"}})

	// Without the sandbox image nothing starts, and the kubelet's list of pods does not say why.
	k.put(t, fine)
	k.waitPod(t, "fine", waitsFor("ContainerCreating"))
	n.assertWhy(t, "", sick{"fine", pauseImage, "", "", "no-sandbox", "bundle --platform"})
	n.load(t, site.bundle(t, "pause.tar", pauseImage))
	n.load(t, site.bundle(t, "app.tar", deadRegistry+"/site/app:1"))
	k.waitPod(t, "fine", running)

	usb := site.prepare(t, n, k)
	pods := sickPods
	if !k.verifies() {
		pods = slices.DeleteFunc(slices.Clone(pods), func(s sick) bool { return s.cause == "pull-records" })
	}
	n.assertSick(t, k, usb, pods...)
	m.fill(t, "filler", m.available(t)-24*mib) // less than the large image needs
	n.assertSick(t, k, usb, sick{"full", openRegistry + "/site/large:1", "", "ImagePullBackOff", "disk-full", "df -h"})
	n.assertWhy(t, usb)
}

// assertSick runs pods until they wait, checks what load why says, and removes them.
func (n *node) assertSick(t *testing.T, k *kubelet, usb string, pods ...sick) {
	t.Helper()
	for _, s := range pods {
		k.put(t, newPod(s.name, container{Image: s.image, ImagePullPolicy: s.policy, Args: []string{"sleep"}}))
	}
	for _, s := range pods {
		k.waitPod(t, s.name, waitsFor(s.reason))
	}
	n.assertWhy(t, usb, pods...)
	for _, s := range pods {
		if err := os.Remove(filepath.Join(k.podDir(), s.name+".json")); err != nil {
			t.Fatal(err)
		}
	}
	k.wait(t, "the pods to go", func(pods map[string]pod) bool { return len(pods) <= 2 })
}

// assertWhy runs load why and compares the first cause of each pod.
func (n *node) assertWhy(t *testing.T, usb string, want ...sick) {
	t.Helper()
	args := []string{"why", "--address", n.Address(), "--output", "json"}
	if usb != "" {
		args = append(args, "--look", usb)
	}
	got := n.machine.runInside(t, programs(t).load, args...)
	if code := min(len(want), 1) * 3; got.code != code {
		t.Errorf("load why: exit %d, want %d", got.code, code)
	}
	var report struct {
		Waiting []struct {
			Image  string
			Pods   []struct{ Pod string }
			Causes []struct {
				Code, Message string
				Cure          []struct {
					Say string
					Run []string
				}
			}
		}
	}
	if err := json.Unmarshal([]byte(got.stdout), &report); err != nil {
		t.Fatalf("load why: %v", err)
	}
	found := map[string]bool{}
	for _, w := range report.Waiting {
		for _, p := range w.Pods {
			name := strings.TrimSuffix(p.Pod, "-node")
			i := slices.IndexFunc(want, func(s sick) bool { return s.name == name && s.image == w.Image })
			if i < 0 {
				t.Errorf("%s waits for %s: %v", name, w.Image, w.Causes)
				continue
			}
			found[name] = true
			first := w.Causes[0]
			var cure []string
			for _, step := range first.Cure {
				cure = append(append(cure, step.Say), step.Run...)
			}
			if first.Code != want[i].cause || !strings.Contains(strings.Join(cure, " "), want[i].cure) {
				t.Errorf("%s: cause %q (%s), cure %q; want %q and %q", name, first.Code, first.Message, cure, want[i].cause, want[i].cure)
			}
		}
	}
	for _, s := range want {
		if !found[s.name] {
			t.Errorf("%s: load why says nothing about it", s.name)
		}
	}
}

// faultySite is what the node of TestWhy can reach: registries inside its machine.
type faultySite struct {
	machine *machine
	hosts   map[string]*registrytest.Registry
	open    *registrytest.Registry
}

// newFaultySite starts the registries.
func newFaultySite(t *testing.T, m *machine) *faultySite {
	t.Helper()
	program, err := registrytest.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &faultySite{machine: m, hosts: map[string]*registrytest.Registry{}}
	for name, o := range map[string]registrytest.Options{
		openRegistry:    {},
		limitedRegistry: {Policy: registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: 1}},
		busyRegistry:    {Faults: registrytest.Faults{TooMany: registrytest.Always}},
		closedRegistry:  {Policy: registrytest.Policy{Auth: registrytest.AuthBearer, RefuseAnonymous: true}},
		strangeRegistry: {TLS: true},
	} {
		var r *registrytest.Registry
		var err error
		m.do(func() { r, err = registrytest.New(o) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close() })
		s.hosts[name] = r
	}
	s.hosts[limitedRegistry].SetUsed("", 1)
	// containerd pulls no content that it has, whatever its name.
	s.add(t, s.hosts[limitedRegistry], "site/limited", program, "bin/limited")
	s.open = s.hosts[openRegistry]
	addPause(t, s.open)
	s.add(t, s.open, "site/app", program)
	s.add(t, s.open, "site/limited", program, "bin/limited")
	s.add(t, s.open, "site/elsewhere", program, "bin/elsewhere")
	s.add(t, s.open, "copy/app", program, "bin/copy")
	s.add(t, s.open, "copy/pulled", program, "bin/copy")
	other := registrytest.Index{Images: []registrytest.Image{{Platform: "linux/s390x"}}}
	if _, err := s.open.AddIndex("site/other", "1", other); err != nil {
		t.Fatal(err)
	}
	addChecked(t, s.open, "site/large", "1", 1, shape{layers: 1, files: 4, bytes: 16 * mib})
	return s
}

// add adds an image that runs the program, as repo:1. The links make its content differ.
func (s *faultySite) add(t *testing.T, r *registrytest.Registry, repo string, program []byte, links ...string) {
	t.Helper()
	img := registrytest.Image{
		Platform: "linux/" + runtime.GOARCH,
		Config:   ocispec.ImageConfig{Entrypoint: []string{"/bin/hello"}},
		Layers:   []*registrytest.Layer{registrytest.ProgramLayer(program, append([]string{"bin/hello"}, links...)...)},
	}
	if _, err := r.AddImage(repo, "1", img); err != nil {
		t.Fatal(err)
	}
}

// config writes the hosts.toml files of the registries and returns containerd's
// configuration.
func (s *faultySite) config(t *testing.T) string {
	t.Helper()
	dir := s.machine.path("certs.d")
	urls := map[string]string{deadRegistry: "http://127.0.0.1:9", "quay.io": "http://127.0.0.1:9", "registry.k8s.io": "http://127.0.0.1:9"}
	for name, r := range s.hosts {
		urls[name] = r.URL()
	}
	for name, url := range urls {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		text := fmt.Sprintf("server = %q\n[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", url, url)
		if err := os.WriteFile(filepath.Join(dir, name, "hosts.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	plugin := "io.containerd.cri.v1.images"
	if olderContainerd() {
		plugin = "io.containerd.grpc.v1.cri"
	}
	return fmt.Sprintf("[plugins.%q.registry]\nconfig_path = %q\n", plugin, dir)
}

// bundle writes a bundle, whatever registry a name says, from the open one.
func (s *faultySite) bundle(t *testing.T, file, image string) string {
	t.Helper()
	host, _, _ := strings.Cut(image, "/")
	path := s.machine.path(file)
	cmd := s.machine.command(programs(t).bundle, "--progress", "none", "--mirror", host+"="+s.open.Host(), image, "-o", path)
	cmd.Env = withoutAccounts(t.TempDir())
	if got := s.machine.runCommand(t, cmd); got.code != 0 {
		t.Fatalf("bundle: exit %d", got.code)
	}
	return path
}

// prepare puts images into the wrong places of the node: in another namespace, under a name of
// another registry, and one that the kubelet has pulled from another repository. It returns a
// directory with a bundle.
func (s *faultySite) prepare(t *testing.T, n *node, k *kubelet) (usb string) {
	t.Helper()
	elsewhere := s.bundle(t, "elsewhere.tar", deadRegistry+"/site/elsewhere:1")
	if out, err := n.Ctr("-n", "default", "images", "import", elsewhere); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	k.put(t, newPod("puller", container{Image: openRegistry + "/copy/app:1", Args: []string{"sleep"}}))
	k.waitPod(t, "puller", running)
	want := 0
	if k.verifies() {
		want = 3 // the same content was pulled under another name
	}
	pulled := s.bundle(t, "pulled.tar", deadRegistry+"/copy/pulled:1")
	if got := n.machine.runInside(t, programs(t).load, n.loadArgs(pulled)...); got.code != want {
		t.Fatalf("load: exit %d, want %d", got.code, want)
	}
	usb = s.machine.path("usb")
	if err := os.MkdirAll(filepath.Join(usb, "bundles"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.bundle(t, "usb/bundles/limit.tar.gz", limitedRegistry+"/site/limited:1")
	return filepath.Join(usb, "bundles")
}

// smallDisk is the size of a disk that this test fills.
const smallDisk = 512 * mib
