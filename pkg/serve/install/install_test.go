//go:build unix

package install

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/need"
)

// machine is the root directory of a node whose systemd only records.
type machine struct {
	t     *testing.T
	root  string
	calls []string // of systemctl
	fails string   // the call that fails
}

func newMachine(t *testing.T, files map[string]string) *machine {
	t.Helper()
	m := &machine{t: t, root: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(m.root, "run/systemd/system"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		m.write(name, text)
	}
	return m
}

func (m *machine) write(name, text string) {
	m.t.Helper()
	path := filepath.Join(m.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o640)); err != nil {
		m.t.Fatal(err)
	}
}

// files returns all files and empty directories below the root.
func (m *machine) files() map[string]string {
	m.t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(m.root, path)
		if d.IsDir() {
			if entries, _ := os.ReadDir(path); len(entries) == 0 {
				out[name+"/"] = ""
			}
			return nil
		}
		info, err := os.Stat(path)
		if err != nil || info.IsDir() {
			out[name] = "link"
			return nil
		}
		raw, err := os.ReadFile(path)
		out[name] = info.Mode().String() + "\n" + string(raw)
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

func (m *machine) options(registries ...string) Options {
	return Options{
		Listen: "127.0.0.1:5480", Command: []string{"/usr/local/bin/load", "serve"}, Registries: registries, Root: m.root,
		Containerd: Containerd{Version: "2.4.2", Files: []string{"/etc/containerd/config.toml"}, ConfigPath: []string{"/etc/containerd/certs.d"}},
		Systemctl: func(_ context.Context, args ...string) error {
			call := strings.Join(args, " ")
			m.calls = append(m.calls, call)
			if call == m.fails {
				return errors.New("exit status 1")
			}
			return nil
		},
	}
}

func (m *machine) install(o Options) *Report {
	m.t.Helper()
	r, err := Install(m.t.Context(), o)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

func (m *machine) uninstall(o Options) *Report {
	m.t.Helper()
	r, err := Uninstall(m.t.Context(), o)
	if err != nil {
		m.t.Fatal(err)
	}
	return r
}

// done returns what was done to each file, by the last elements of its path.
func done(r *Report) map[string]Done {
	out := map[string]Done{}
	for _, f := range r.Files {
		name := filepath.Base(f.Path)
		if name == hostsFile {
			name = filepath.Base(filepath.Dir(f.Path))
		}
		out[name] = f.Done
	}
	return out
}

const mirrorFile = "server = \"https://quay.io\"\n\n[host.\"https://m.example\"]\n"

// TestInstall installs into a node with a file of the administrator, installs again, adds a
// registry, and uninstalls.
func TestInstall(t *testing.T) {
	m := newMachine(t, map[string]string{"etc/containerd/certs.d/quay.io/hosts.toml": mirrorFile, "etc/systemd/system/other.service": "x"})
	before := m.files()
	o := m.options("docker.io", "quay.io", "docker.io")
	r := m.install(o)
	if d := cmp.Diff([]string{"docker.io", "quay.io"}, r.Registries); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]Done{serviceUnit: Created, socketUnit: Created, "docker.io": Created, "quay.io": Changed}, done(r)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"daemon-reload", "enable " + socketUnit, "stop " + serviceUnit, "restart " + socketUnit}, m.calls); d != "" {
		t.Errorf("systemctl (-want +got):\n%s", d)
	}
	const created = "-rw-r--r--\n" + `# BEGIN stowage (new directory): "load serve --uninstall" removes these lines
[host."http://127.0.0.1:5480"]
  capabilities = ["pull", "resolve"]
# END stowage
`
	if d := cmp.Diff(created, m.files()["etc/containerd/certs.d/docker.io/hosts.toml"]); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if got := m.files()["etc/containerd/certs.d/quay.io/hosts.toml"]; !strings.HasPrefix(got, "-rw-r-----\n") {
		t.Errorf("the file has another mode now:\n%s", got)
	}

	installed := m.files()
	m.calls = nil
	for name, what := range done(m.install(o)) {
		if what != Unchanged {
			t.Errorf("the second installation: %s %s", name, what)
		}
	}
	if d := cmp.Diff(installed, m.files()); d != "" {
		t.Errorf("the second installation changed (-want +got):\n%s", d)
	}
	if slices.Contains(m.calls, "restart "+socketUnit) {
		t.Error("the second installation restarted the socket")
	}

	more := m.options("registry.example:5000")
	if d := cmp.Diff(map[string]Done{serviceUnit: Unchanged, socketUnit: Unchanged, "docker.io": Unchanged, "quay.io": Unchanged, "registry.example_5000_": Created}, done(m.install(more))); d != "" {
		t.Errorf("one more (-want +got):\n%s", d)
	}

	moved := m.options("quay.io")
	moved.Listen = "[::1]:6000"
	if d := cmp.Diff(map[string]Done{serviceUnit: Unchanged, socketUnit: Changed, "docker.io": Changed, "quay.io": Changed, "registry.example_5000_": Changed}, done(m.install(moved))); d != "" {
		t.Errorf("another address (-want +got):\n%s", d)
	}
	if got := m.files()["etc/containerd/certs.d/quay.io/hosts.toml"]; strings.Count(got, beginMark) != 1 || !strings.Contains(got, `[host."http://[::1]:6000"]`) {
		t.Errorf("another address:\n%s", got)
	}

	r = m.uninstall(Options{Root: m.root, Systemctl: o.Systemctl})
	if d := cmp.Diff([]string{"docker.io", "quay.io", "registry.example:5000"}, r.Registries); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(map[string]Done{serviceUnit: Removed, socketUnit: Removed, "docker.io": Removed, "quay.io": Restored, "registry.example_5000_": Removed}, done(r)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(before, m.files()); d != "" {
		t.Errorf("after the uninstallation (-want +got):\n%s", d)
	}
	m.calls = nil
	if r := m.uninstall(Options{Root: m.root, Systemctl: o.Systemctl}); len(r.Files) > 0 || len(m.calls) > 0 {
		t.Errorf("the second uninstallation: %+v, %q", r, m.calls)
	}
}

// TestInstallFails lets each step of an installation fail: everything is as before. The step
// that systemctl refuses always fails in the undoing as well.
func TestInstallFails(t *testing.T) {
	for _, step := range []string{"daemon-reload", "enable " + socketUnit, "stop " + serviceUnit, "restart " + socketUnit} {
		t.Run(step, func(t *testing.T) {
			m := newMachine(t, map[string]string{"etc/containerd/certs.d/quay.io/hosts.toml": mirrorFile, "etc/systemd/system/other.service": "x"})
			before := m.files()
			m.fails = step
			_, err := Install(t.Context(), m.options("quay.io", "docker.io"))
			var systemd *SystemdError
			if !errors.As(err, &systemd) || strings.Join(systemd.Args, " ") != step || systemd.Undone == (step == "daemon-reload") {
				t.Errorf("error %v", err)
			}
			if d := cmp.Diff(before, m.files()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestInstallUndoesEntries lets the second entry fail.
func TestInstallUndoesEntries(t *testing.T) {
	m := newMachine(t, map[string]string{"etc/containerd/certs.d/a.example/hosts.toml": mirrorFile, "etc/systemd/system/other.service": "x"})
	before := m.files()
	o := m.options("a.example", "b.example")
	run := o.Systemctl
	o.Systemctl = func(ctx context.Context, args ...string) error {
		if args[0] == "restart" { // between the plan and the entries
			m.write("etc/containerd/certs.d/b.example/hosts.toml", "# of another program\n")
		}
		return run(ctx, args...)
	}
	_, err := Install(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "changed by another program at the same time") {
		t.Errorf("error %v", err)
	}
	after := m.files()
	delete(after, "etc/containerd/certs.d/b.example/hosts.toml")
	if d := cmp.Diff(before, after); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if !slices.Contains(m.calls, "disable --now "+socketUnit+" "+serviceUnit) {
		t.Errorf("the port is still taken: %q", m.calls)
	}
}

// TestInstallRefuses: nothing is written when one of the files cannot be changed.
func TestInstallRefuses(t *testing.T) {
	hosts := func(text string) map[string]string {
		return map[string]string{"etc/containerd/certs.d/a.example/hosts.toml": "", "etc/containerd/certs.d/b.example/hosts.toml": text}
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		set   func(*Options)
		want  string
	}{
		{"not TOML", hosts("["), nil, "b.example/hosts.toml: line 1, column 1: not TOML"},
		{"half a block", hosts(beginMark + ": x\n"), nil, "b.example/hosts.toml: # BEGIN stowage without # END stowage"},
		{"a file for a directory", map[string]string{"etc/containerd/certs.d/b.example": ""}, nil, "/etc/containerd/certs.d/b.example: not a directory"},
		{"foreign unit", map[string]string{"etc/systemd/system/" + serviceUnit: "[Unit]\n"}, nil, "was not written by load serve --install"},
		{"open address", nil, func(o *Options) { o.Listen = "0.0.0.0:5480" }, "want an address of the loopback interface"},
		{"no port", nil, func(o *Options) { o.Listen = "127.0.0.1:0" }, "and a port"},
		{"no registry", nil, func(o *Options) { o.Registries = nil }, "no registry to wire"},
		{"path for a registry", nil, func(o *Options) { o.Registries = []string{"../x"} }, `"../x": not the name of a registry`},
		{"hidden registry", nil, func(o *Options) { o.Registries = []string{".."} }, "not the name of a registry"},
		{"relative program", nil, func(o *Options) { o.Command = []string{"load"} }, "want an absolute path"},
		{"line in an argument", nil, func(o *Options) { o.Command = append(o.Command, "a\nb") }, "control character"},
		{"no config_path", nil, func(o *Options) { o.Containerd.ConfigPath = nil }, "containerd 2.4.2 has no config_path"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, tt.files)
			before := m.files()
			o := m.options("a.example", "b.example")
			if tt.set != nil {
				tt.set(&o)
			}
			if r, err := Install(t.Context(), o); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v, error %v, want %q", r, err, tt.want)
			}
			if d := cmp.Diff(before, m.files()); d != "" || len(m.calls) > 0 {
				t.Errorf("systemctl %q (-want +got):\n%s", m.calls, d)
			}
		})
	}
}

// TestInstallPlaces chooses the file that containerd reads for a registry.
func TestInstallPlaces(t *testing.T) {
	const certs, more = "etc/containerd/certs.d/", "etc/docker/certs.d/"
	for _, tt := range []struct {
		name, registry string
		files          map[string]string
		want           string // path of the file
		holds          string
	}{
		{"first directory", "docker.io", nil, certs + "docker.io/hosts.toml", "(new directory)"},
		{"port", "r.example:5000", nil, certs + "r.example_5000_/hosts.toml", "(new directory)"},
		{"port with a colon", "r.example:5000", map[string]string{certs + "r.example:5000/hosts.toml": "# x\n"}, certs + "r.example:5000/hosts.toml", "# x"},
		{"second directory", "docker.io", map[string]string{more + "docker.io/hosts.toml": "# x\n"}, more + "docker.io/hosts.toml", "# x"},
		{"default", "docker.io", map[string]string{certs + "_default/hosts.toml": "# x\n", more + "docker.io/hosts.toml": "# y\n"}, certs + "_default/hosts.toml", "# x"},
		{"own before default", "docker.io", map[string]string{certs + "_default/hosts.toml": "# x\n", certs + "docker.io/hosts.toml": "# y\n"}, certs + "docker.io/hosts.toml", "# y"},
		{"certificates", "docker.io", map[string]string{certs + "docker.io/ca.crt": "", certs + "docker.io/a.cert": "", certs + "docker.io/a.key": "", certs + "docker.io/b.cert": ""},
			certs + "docker.io/hosts.toml", "ca = [\"ca.crt\"]\nclient = [[\"a.cert\", \"a.key\"], [\"b.cert\", \"b.cert\"]]\n[host."},
		{"empty file", "docker.io", map[string]string{certs + "docker.io/ca.crt": "", certs + "docker.io/hosts.toml": ""}, certs + "docker.io/hosts.toml", "ca = [\"ca.crt\"]\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, tt.files)
			m.write("etc/systemd/system/other.service", "x")
			m.write(certs+"other", "")
			before := m.files()
			o := m.options(tt.registry)
			o.Containerd.Version, o.Containerd.ConfigPath = "1.7.35", []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"}
			m.install(o)
			got := m.files()
			if !strings.Contains(got[tt.want], tt.holds) || !strings.Contains(got[tt.want], `[host."http://127.0.0.1:5480"]`) {
				t.Errorf("%s: %q in %q", tt.want, got[tt.want], got)
			}
			if r := m.install(o); done(r)[filepath.Base(filepath.Dir(tt.want))] != Unchanged {
				t.Errorf("again: %+v", r)
			}
			m.uninstall(o)
			if d := cmp.Diff(before, m.files()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

// TestInstallLinks: a file that several names lead to is changed once, at its place.
func TestInstallLinks(t *testing.T) {
	const certs = "etc/containerd/certs.d/"
	m := newMachine(t, map[string]string{"etc/site/mirror.toml": mirrorFile, certs + "a.example/x": "", certs + "b.example/x": "", "etc/systemd/system/other.service": "x"})
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, filepath.Join(m.root, name)); err != nil {
			t.Fatal(err)
		}
	}
	link("../../../site/mirror.toml", certs+"a.example/hosts.toml")
	link("../a.example/hosts.toml", certs+"b.example/hosts.toml")
	link("b.example", certs+"c.example")
	link("docker", "etc/other")
	before := m.files()
	o := m.options("a.example", "b.example", "c.example", "d.example")
	m.install(o)
	if got := m.files()["etc/site/mirror.toml"]; strings.Count(got, beginMark) != 1 {
		t.Errorf("%s", got)
	}
	for _, name := range []string{"a.example/hosts.toml", "b.example/hosts.toml", "c.example"} {
		if info, err := os.Lstat(filepath.Join(m.root, certs, name)); err != nil || info.Mode()&fs.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v", name, err)
		}
	}
	o.Containerd.ConfigPath = append(o.Containerd.ConfigPath, "/etc/site/../containerd/certs.d")
	m.uninstall(o)
	if d := cmp.Diff(before, m.files()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestUninstallKeeps what was added to a file and to a directory of ours.
func TestUninstallKeeps(t *testing.T) {
	const file = "etc/containerd/certs.d/docker.io/hosts.toml"
	m := newMachine(t, nil)
	o := m.options("docker.io")
	m.install(o)
	raw, err := os.ReadFile(filepath.Join(m.root, file))
	if err != nil {
		t.Fatal(err)
	}
	m.write(file, string(raw)+"# added\n")
	r := m.uninstall(o)
	if got := m.files()[file]; !strings.HasSuffix(got, "\n# added\n") || strings.Contains(got, "stowage") {
		t.Errorf("%q", got)
	}
	if len(r.Notes) != 1 || !strings.Contains(r.Notes[0], "has other lines now") {
		t.Errorf("notes %q", r.Notes)
	}
	m.install(o)
	m.write("etc/containerd/certs.d/docker.io/ca.crt", "x")
	m.uninstall(o)
	if got := m.files(); got["etc/containerd/certs.d/docker.io/ca.crt"] == "" {
		t.Errorf("%q", got)
	}
}

// TestInstallWithoutSystemd enables the socket for the next boot where systemd does not run.
func TestInstallWithoutSystemd(t *testing.T) {
	m := newMachine(t, nil)
	if err := os.RemoveAll(filepath.Join(m.root, "run")); err != nil {
		t.Fatal(err)
	}
	o := m.options("docker.io")
	r := m.install(o)
	if d := cmp.Diff([]string{"enable " + socketUnit}, m.calls); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"systemctl start " + socketUnit}, r.Next); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	m.uninstall(o)
	t.Setenv("PATH", t.TempDir())
	o.Systemctl = nil
	before := m.files()
	var systemd *SystemdError
	if _, err := Install(t.Context(), o); !errors.As(err, &systemd) || systemd.Args != nil {
		t.Errorf("without systemctl: %v", err)
	}
	if d := cmp.Diff(before, m.files()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// TestInstallRancher adds the endpoint to registries.yaml.
func TestInstallRancher(t *testing.T) {
	const text = "mirrors:\n  \"*\":\n    endpoint:\n      - https://m.example\n  quay.io:\n    rewrite:\n      \"^(.*)$\": \"x/$1\"\n    endpoint: [https://m.example]\n"
	for _, tt := range []struct{ name, file, config, link, next string }{
		{"k3s", "etc/rancher/k3s/registries.yaml", "/var/lib/rancher/k3s/agent/etc/containerd/config.toml", "k3s.service", "k3s"},
		{"RKE2 agent", "etc/rancher/rke2/registries.yaml", "/var/lib/rancher/rke2/agent/etc/containerd/config.toml", "rke2-agent.service", "rke2-agent"},
		{"k3s elsewhere", "etc/rancher/k3s/registries.yaml", "/data/agent/etc/containerd/config.toml", "k3s-agent.service", "k3s-agent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, map[string]string{tt.file: text, "etc/systemd/system/multi-user.target.wants/" + tt.link: ""})
			before := m.files()
			o := m.options("docker.io", "quay.io")
			o.Containerd.Files = []string{tt.config}
			r := m.install(o)
			if d := cmp.Diff([]string{"systemctl restart " + tt.next}, r.Next); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if len(r.Notes) != 2 || !strings.Contains(r.Notes[0], `the rewrites of the mirror "quay.io"`) {
				t.Errorf("notes %q", r.Notes)
			}
			if got := m.files()[tt.file]; strings.Count(got, beginMark) != 2 {
				t.Errorf("%s", got)
			}
			if r := m.install(o); len(r.Next) > 0 || done(r)["registries.yaml"] != Unchanged {
				t.Errorf("again: %+v", r)
			}
			r = m.uninstall(o)
			if d := cmp.Diff([]string{"*", "quay.io"}, r.Registries); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff([]string{"systemctl restart " + tt.next}, r.Next); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			if d := cmp.Diff(before, m.files()); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	t.Run("new file", func(t *testing.T) {
		m := newMachine(t, map[string]string{"etc/rancher/k3s/config.yaml": "", "etc/systemd/system/other.service": "x"})
		before := m.files()
		o := m.options("docker.io")
		o.Containerd.Files = []string{"/var/lib/rancher/k3s/agent/etc/containerd/config.toml"}
		m.install(o)
		m.uninstall(o)
		if d := cmp.Diff(before, m.files()); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// TestConfigPathError names the line for each format of containerd's configuration.
func TestConfigPathError(t *testing.T) {
	const v2, v3 = `plugins."io.containerd.grpc.v1.cri".registry`, `plugins."io.containerd.cri.v1.images".registry`
	for _, tt := range []struct {
		name, version, config string
		path                  []string
		section, line         string // "" if there is no error
	}{
		{"1.6 without a file", "1.6.20~ds1", "", nil, v2, "/etc/containerd/certs.d"},
		{"1.7", "v1.7.35", "version = 2\n", nil, v2, "/etc/containerd/certs.d"},
		{"1.7, format 1", "1.7.35", "root = '/x'\n", nil, "plugins.cri.registry", "/etc/containerd/certs.d"},
		{"1.7, two directories", "1.7.35", "version = 2\n", []string{"/a", "/b"}, "", ""},
		{"2.0 with format 2", "2.0.5", "version = 2\n", nil, v2, "/etc/containerd/certs.d"},
		{"2.0, two directories", "2.0.5", "version = 3\n", []string{"/a", "/b"}, "", ""},
		{"2.1 without a file", "2.1.4", "", nil, v3, "/etc/containerd/certs.d"},
		{"2.4, two directories", "2.4.2+unknown", "version = 3\n", []string{"/a", "/b"}, v3, "/a"},
		{"2.4, local pull", "2.4.2", "version = 3\n[plugins.'io.containerd.cri.v1.images']\nuse_local_image_pull = true\n", []string{"/a", "/b"}, "", ""},
		{"2.4, format 4", "2.4.2", "version = 4\n", nil, v3, "/etc/containerd/certs.d"},
		{"2.4", "2.4.2", "version = 3\n", []string{"/a"}, "", ""},
		{"k0s", "1.7.35", "# k0s_managed=true\nversion = 2\n", nil, v2, "/etc/containerd/certs.d"},
		{"k0s", "2.1.4", "# k0s_managed=true\nversion = 3\n", nil, v3, "/etc/containerd/certs.d"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMachine(t, nil)
			if tt.config != "" {
				m.write("etc/containerd/config.toml", tt.config)
			}
			o := m.options("docker.io")
			o.Containerd.Version, o.Containerd.ConfigPath = tt.version, tt.path
			_, err := Install(t.Context(), o)
			var e *ConfigPathError
			if tt.section == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if !errors.As(err, &e) {
				t.Fatalf("error %v", err)
			}
			file, isNew := "/etc/containerd/config.toml", tt.config == ""
			if tt.name == "k0s" {
				file, isNew = "/etc/k0s/containerd.d/certs.toml", true
			}
			if e.Section != tt.section || e.Line != `config_path = "`+tt.line+`"` || e.New != isNew || e.File != file {
				t.Errorf("%+v", e)
			}
		})
	}
}

func TestQuoteUnit(t *testing.T) {
	for arg, want := range map[string]string{
		"/usr/local/bin/load": "/usr/local/bin/load",
		"a b":                 `"a b"`,
		`50%`:                 `50%%`,
		`$HOME`:               `$$HOME`,
		`a"\b`:                `"a\"\\b"`,
		"":                    `""`,
		"é":                   "é",
	} {
		if got, err := quoteUnit(arg); err != nil || got != want {
			t.Errorf("%q: %s, %v, want %s", arg, got, err, want)
		}
	}
}

// TestInterruptedInstall kills an installation after each change: the next one completes it,
// and the next uninstallation removes it.
func TestInterruptedInstall(t *testing.T) {
	for n := range 4 {
		m := newMachine(t, map[string]string{"etc/containerd/certs.d/quay.io/hosts.toml": mirrorFile, "etc/systemd/system/other.service": "x"})
		o := m.options("quay.io", "docker.io")
		before := m.files()
		m.interrupt(o, n)
		m.install(o)
		complete := newMachine(t, map[string]string{"etc/containerd/certs.d/quay.io/hosts.toml": mirrorFile, "etc/systemd/system/other.service": "x"})
		complete.install(complete.options("quay.io", "docker.io"))
		if d := cmp.Diff(complete.files(), m.files()); d != "" {
			t.Errorf("installed after %d changes (-want +got):\n%s", n, d)
		}
		m.uninstall(o)
		if d := cmp.Diff(before, m.files()); d != "" {
			t.Errorf("uninstalled (-want +got):\n%s", d)
		}
		m.interrupt(o, n)
		m.uninstall(o)
		if d := cmp.Diff(before, m.files()); d != "" {
			t.Errorf("uninstalled after %d changes (-want +got):\n%s", n, d)
		}
	}
}

// interrupt makes the first n changes of an installation.
func (m *machine) interrupt(o Options, n int) {
	m.t.Helper()
	i, err := newInstaller(o)
	if err != nil {
		m.t.Fatal(err)
	}
	units, err := i.planUnits()
	if err != nil {
		m.t.Fatal(err)
	}
	entries, err := i.planEntries()
	if err != nil {
		m.t.Fatal(err)
	}
	if _, err := i.applyAll(append(units, entries...)[:n]); err != nil {
		m.t.Fatal(err)
	}
}

// TestUnitsVerify asks systemd whether it accepts the units.
func TestUnitsVerify(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	need.Part(t, "systemd-analyze", err)
	m := newMachine(t, nil)
	o := m.options("docker.io")
	o.Command = []string{"/bin/sh", "-c", "exit 0; # $HOME 50% \"a\""}
	m.install(o)
	dir := filepath.Join(m.root, unitDir)
	out, err := exec.CommandContext(t.Context(), analyze, "verify", filepath.Join(dir, socketUnit), filepath.Join(dir, serviceUnit)).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestInstallKeepsOwner changes and restores a file of another user, who stays its owner.
func TestInstallKeepsOwner(t *testing.T) {
	need.Root(t, "own files as another user")
	const file, user = "etc/containerd/certs.d/quay.io/hosts.toml", 65534
	m := newMachine(t, map[string]string{file: mirrorFile})
	path := filepath.Join(m.root, file)
	if err := os.Chown(path, user, user); err != nil {
		t.Fatal(err)
	}
	owner := func() {
		t.Helper()
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != user || stat.Gid != user || info.Mode() != 0o640 {
			t.Errorf("owner %d:%d, mode %v", stat.Uid, stat.Gid, info.Mode())
		}
	}
	o := m.options("quay.io")
	m.install(o)
	owner()
	m.uninstall(o)
	owner()
}
