//go:build linux

package manual

import (
	"bufio"
	"embed"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/test/internal/loopback"
)

// hubNames are the hosts of Docker Hub, which has accounts and a limit; siteNames are the
// other public registries of the pages, which have neither.
var (
	hubNames  = []string{"docker.io", "index.docker.io", "registry-1.docker.io", "auth.docker.io"}
	siteNames = []string{"quay.io", "ghcr.io", "registry.k8s.io"}
)

// registryConfig makes containerd read the files of "load serve --install".
const registryConfig = `[plugins."io.containerd.cri.v1.images".registry]
config_path = "/etc/containerd/certs.d"
`

// programs stand in for those that a page uses and that need another machine, and files are
// what it downloads.
//
//go:embed programs files
var fixtures embed.FS

// machine is what a page runs on: the namespaces of this process.
type machine struct {
	dir string // everything that is written; a file system of its own
	hub *registrytest.Registry
	env []string // of the page's shell
}

// newMachine sets up the namespaces of this process. bin has the programs under test and
// checkout the sources.
func newMachine(t *testing.T, dir, bin, checkout string) *machine {
	t.Helper()
	m := &machine{dir: dir}
	if err := m.mount(); err != nil {
		t.Fatalf("set up the machine: %v", err)
	}
	if err := loopback.Up(); err != nil {
		t.Fatal(err)
	}
	m.startRegistries(t)
	m.startKubelet(t)
	tools, err := nodetest.Tools()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"helm", "kustomize"} {
		_, err := os.Stat(filepath.Join(tools, name))
		need.Part(t, name, err)
	}
	_, err = exec.LookPath("ssh-keygen")
	need.Part(t, "ssh-keygen", err)
	node, err := nodetest.Launch(t.Context(), nodetest.Options{Dir: dir, Config: registryConfig})
	if missing := (*nodetest.MissingError)(nil); errors.As(err, &missing) {
		need.Missing(t, err)
	}
	if err != nil {
		t.Fatalf("start a node: %v", err)
	}
	t.Cleanup(func() {
		if err := node.Stop(); err != nil {
			t.Errorf("stop the node: %v", err)
		}
	})
	if err := m.install(node, bin, tools, checkout); err != nil {
		t.Fatalf("set up the machine: %v", err)
	}
	return m
}

// mount hides what the commands of a page write outside of their directory.
func (m *machine) mount() error {
	if err := unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("make the mounts private: %w", err)
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mount /proc: %w", err)
	}
	for _, dir := range []string{m.dir, "/run", "/var/lib", "/media", "/usr/local/bin"} {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755"); err != nil {
			return fmt.Errorf("mount an empty %s: %w", dir, err)
		}
	}
	upper, work := filepath.Join(m.dir, "etc"), filepath.Join(m.dir, "etc.work")
	if err := errors.Join(os.Mkdir(upper, 0o755), os.Mkdir(work, 0o755), os.Setenv("TMPDIR", m.dir)); err != nil {
		return err
	}
	options := "lowerdir=/etc,upperdir=" + upper + ",workdir=" + work
	if err := unix.Mount("overlay", "/etc", "overlay", 0, options); err != nil {
		return fmt.Errorf("mount an overlay at /etc: %w", err)
	}
	// Whatever a page does as root, the files of this machine stay.
	if err := unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make / read-only: %w", err)
	}
	hosts := "127.0.0.1 localhost " + strings.Join(hubNames, " ") + "\n127.0.0.2 " + strings.Join(siteNames, " ") + "\n"
	return os.WriteFile("/etc/hosts", []byte(hosts), 0o644)
}

// startRegistries starts Docker Hub and the other registries, and the port at which a page
// sets the state of the first.
func (m *machine) startRegistries(t *testing.T) {
	t.Helper()
	m.hub = startRegistry(t, registrytest.Options{
		Addr: "127.0.0.1:443", TLS: true, Names: hubNames, Dir: m.dir,
		Policy: registrytest.Policy{
			Auth: registrytest.AuthBearer, AnonymousQuota: 100, HideMissing: true, Realm: "https://auth.docker.io/token",
			Accounts: []registrytest.Account{{User: "operator", Password: "secret", Quota: 200}},
		},
	})
	site := startRegistry(t, registrytest.Options{Addr: "127.0.0.2:443", TLS: true, Names: siteNames, Dir: m.dir})
	k3s, err := fixtures.ReadFile("files/k3s-images.txt")
	if err != nil {
		t.Fatal(err)
	}
	of := strings.Fields(strings.ReplaceAll(string(k3s), "docker.io/", ""))
	if err := errors.Join(addImages(m.hub, slices.Concat(hubImages, of)), addImages(site, siteImages)); err != nil {
		t.Fatal(err)
	}
	pem := slices.Concat(m.hub.CAPEM(), site.CAPEM())
	if err := os.WriteFile(filepath.Join(m.dir, "authorities.pem"), pem, 0o644); err != nil {
		t.Fatal(err)
	}
	control, err := net.Listen("tcp", "127.0.0.1:81")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { control.Close() })
	go m.control(control)
}

// startRegistry starts a registry without [registrytest.Start]'s log of the requests, which
// says little about a command of a page.
func startRegistry(t *testing.T, o registrytest.Options) *registrytest.Registry {
	t.Helper()
	reg, err := registrytest.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := reg.Close(); err != nil {
			t.Errorf("close registry: %v", err)
		}
		for _, v := range reg.Violations() {
			t.Errorf("violation: %s", v)
		}
	})
	return reg
}

// addImages adds the images of Calico, and those with the given names.
func addImages(reg *registrytest.Registry, names []string) error {
	if _, err := reg.AddCalico(registrytest.CalicoOptions{}); err != nil {
		return err
	}
	for _, name := range names {
		repo, tag, _ := strings.Cut(name, ":")
		idx := registrytest.Index{}
		for _, arch := range []string{"amd64", "arm64"} {
			idx.Images = append(idx.Images, registrytest.Hello(name, arch, []byte("the program of "+name+" for "+arch)))
		}
		if _, err := reg.AddIndex(repo, tag, idx); err != nil {
			return err
		}
	}
	return nil
}

// control executes the orders of the program hub.
func (m *machine) control(l net.Listener) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		line, _ := bufio.NewReader(conn).ReadString('\n') // a cut line is an unknown order
		answer, used, account := "unknown order", 0, ""
		if n, _ := fmt.Sscanf(line, "used %d %s", &used, &account); n > 0 { // without an account n is 1
			m.hub.SetUsed(account, used)
			answer = "ok"
		}
		fmt.Fprintln(conn, answer)
		conn.Close()
	}
}

// install puts the programs and files in place, and makes the environment of the shell.
func (m *machine) install(node *nodetest.Node, bin, tools, checkout string) error {
	if err := os.CopyFS(m.path("fixtures"), fixtures); err != nil {
		return err
	}
	names, err := os.ReadDir(m.path("fixtures", "programs"))
	if err != nil {
		return err
	}
	for _, name := range names { // embedded files have no executable bit
		if err := os.Chmod(m.path("fixtures", "programs", name.Name()), 0o755); err != nil {
			return err
		}
	}
	pods, err := m.runningPods()
	if err != nil {
		return err
	}
	m.env = []string{
		"PATH=" + strings.Join([]string{m.path("fixtures", "programs"), bin, tools, "/usr/sbin", "/usr/bin", "/sbin", "/bin"}, ":"),
		"HOME=" + m.path("home"), "USER=root", "LANG=C.UTF-8", "TERM=dumb", "TMPDIR=" + m.dir,
		"SSL_CERT_FILE=" + m.path("authorities.pem"), "GITHUB_STEP_SUMMARY=" + m.path("summary.md"),
		"NODES=" + m.path("nodes"), "DATA=" + m.path("fixtures", "files"), "CHECKOUT=" + checkout,
	}
	return errors.Join(
		os.MkdirAll(m.path("home"), 0o755),
		os.MkdirAll(m.path("work"), 0o755),
		os.MkdirAll("/run/containerd", 0o755),
		os.MkdirAll("/etc/systemd/system", 0o755),
		os.Symlink(node.Address(), "/run/containerd/containerd.sock"),
		os.WriteFile(m.path("fixtures", "files", "pods.json"), pods, 0o644),
		copyFile(filepath.Join(checkout, "examples", "calico.yaml"), m.path("work", "calico.yaml"), 0o644),
		copyFile(filepath.Join(bin, "load"), m.path("work", "load"), 0o755),
	)
}

func (m *machine) path(names ...string) string {
	return filepath.Join(append([]string{m.dir}, names...)...)
}

func copyFile(from, to string, mode os.FileMode) error {
	raw, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, raw, mode)
}
