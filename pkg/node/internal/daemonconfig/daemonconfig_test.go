package daemonconfig

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// write writes files, by path, below a new directory.
func write(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o600))
	}
	return root
}

// of returns the configuration of one file with the text.
func of(t *testing.T, text string) Config {
	t.Helper()
	c := Read(write(t, map[string]string{"c": text}), "/c")
	c.Files = nil
	return c
}

const v2, v3 = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"

func TestSandbox(t *testing.T) {
	for config, want := range map[string]string{
		"[plugins.cri]\n  sandbox_image = 'a/pause:0'\n":                                                             "a/pause:0",
		"version = 2\n[plugins.\"" + v2 + "\"]\n  sandbox_image = \"a/pause:1\"\n":                                   "a/pause:1",
		"[plugins.'" + v3 + "'.pinned_images]\n  sandbox = 'b/pause:2'\n":                                            "b/pause:2",
		"[plugins]\n[plugins.'x']\n sandbox = 'no'\n[plugins.'" + v3 + "'.\"pinned_images\"]\nsandbox=\"c/pause:3\"": "c/pause:3",
		"[plugins.'" + v3 + "']\n pinned_images = { other = 'no', sandbox = \"d/pause:4\" } # yes":                   "d/pause:4",
		"[plugins.'" + v3 + "']\n pinned_images.sandbox = 'e/pause:5'":                                               "e/pause:5",
		"[plugins.'" + v3 + "']\n# pinned_images.sandbox = 'no'":                                                     "",
		"[plugins.'" + v3 + "'.pinned_images]\nsandbox = ''":                                                         "",
		"[plugins.'" + v2 + "']\n# sandbox_image = \"no\"\n":                                                         "",
		"[plugins.'another']\n sandbox_image = 'no'\n":                                                               "",
		"[plugins.'another']\n x = { y = 1 }\n sandbox = [1, 2]\n[plugins.'" + v2 + "']\nsandbox_image = 'f'":        "f",
		"[plugins.'" + v2 + "']\nsandbox_image = 'no'\nbroken":                                                       "",
		"": "",
	} {
		if got := of(t, config).Sandbox; got != want {
			t.Errorf("%q: got %q, want %q", config, got, want)
		}
	}
}

// TestFormats reads the same settings in each version of the format.
func TestFormats(t *testing.T) {
	want := Config{
		Sandbox:    "a/pause:1",
		ConfigPath: []string{"/etc/containerd/certs.d", "/etc/docker/certs.d"},
		Runtimes:   map[string]string{"kata": "nydus"},
	}
	one := `sandbox_image = "a/pause:1"
[plugins.%[1]s.registry]
config_path = "/etc/containerd/certs.d:/etc/docker/certs.d"
[plugins.%[1]s.containerd]
snapshotter = "overlayfs"
[plugins.%[1]s.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins.%[1]s.containerd.runtimes.kata]
runtime_type = "io.containerd.kata.v2"
snapshotter = "nydus"
`
	three := `version = 3
[plugins.'io.containerd.cri.v1.images']
snapshotter = 'overlayfs'
[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = 'a/pause:1'
[plugins.'io.containerd.cri.v1.images'.registry]
config_path = '/etc/containerd/certs.d:/etc/docker/certs.d'
[plugins.'io.containerd.cri.v1.images'.runtime_platforms.other]
snapshotter = 'devmapper'
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.kata]
runtime_type = 'io.containerd.kata.v2'
snapshotter = 'nydus'
`
	for name, text := range map[string]string{
		"1": fmt.Sprintf("[plugins.cri]\n"+one, "cri"),
		"2": fmt.Sprintf("version = 2\n[plugins.\""+v2+"\"]\n"+one, `"`+v2+`"`),
		"3": three,
		"4": strings.Replace(three, "version = 3", "version = 4", 1),
	} {
		if d := cmp.Diff(want, of(t, text)); d != "" {
			t.Errorf("format %s (-want +got):\n%s", name, d)
		}
	}
	for _, table := range []string{"cri", "'" + v2 + "'", "'" + v3 + "'"} {
		mirrors := fmt.Sprintf("[plugins.%s.registry.mirrors.'docker.io']\nendpoint = ['https://m.example']\n", table)
		if d := cmp.Diff(Config{Mirrors: true}, of(t, mirrors)); d != "" {
			t.Errorf("mirrors of %s (-want +got):\n%s", table, d)
		}
	}
	if d := cmp.Diff(Config{}, of(t, "version = 3\n")); d != "" {
		t.Errorf("a file without settings (-want +got):\n%s", d)
	}
}

func TestImports(t *testing.T) {
	for config, want := range map[string][]string{
		"":                      nil,
		"imports = []\n[a]\n":   {},
		"[a]\nimports = ['no']": nil,
		"# imports = ['no']\n":  nil,
		"version = 3\nimports = [\"/a/*.toml\", 'b.toml']":                    {"/a/*.toml", "b.toml"},
		"imports=[ # those\n  'a',\n  # not 'this'\n  \"b\" ,\n]\nroot = 'c'": {"a", "b"},
	} {
		if d := cmp.Diff(want, parse([]byte(config)).Imports); d != "" {
			t.Errorf("%q (-want +got):\n%s", config, d)
		}
	}
}

// TestMerged reads configuration files with imports: each overrides those before it, by key.
func TestMerged(t *testing.T) {
	handler := "[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.%s]\nsnapshotter = '%s'\n"
	root := write(t, map[string]string{
		"etc/c/config.toml":   "imports = ['conf.d/*.toml', '/opt/last.toml', 'missing.toml']\nplugins.cri.sandbox_image = '1'\n" + fmt.Sprintf(handler, "one", "a"),
		"etc/c/conf.d/a.toml": "imports = [\"../deep.toml\", '/etc/c/config.toml']\nplugins.cri.sandbox_image = '2'\n" + fmt.Sprintf(handler, "two", "b"),
		"etc/c/conf.d/b.toml": "plugins.cri.registry.config_path = '/first'\n",
		"etc/c/conf.d/no.txt": "plugins.cri.sandbox_image = 'no'\n",
		"etc/c/deep.toml":     "plugins.cri.registry.config_path = '/second'\n" + fmt.Sprintf(handler, "one", "c"),
		"opt/last.toml":       "plugins.cri.sandbox_image = '4'\n",
	})
	want := Config{
		Files:      []string{"/etc/c/config.toml", "/etc/c/conf.d/a.toml", "/etc/c/conf.d/b.toml", "/opt/last.toml", "/etc/c/missing.toml", "/etc/c/deep.toml"},
		Sandbox:    "4",
		ConfigPath: []string{"/second"},
		Runtimes:   map[string]string{"one": "c", "two": "b"},
	}
	if d := cmp.Diff(want, Read(root, "/etc/c/config.toml")); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestConfigFile(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"containerd", defaultFile}, {"containerd -c /a", "/a"}, {"containerd --config=/b --log-level debug", "/b"},
		{"containerd --config", defaultFile}, {"containerd c /a", defaultFile}, {"containerd -c a/b.toml", "/srv/dir/a/b.toml"},
	} {
		proc := write(t, map[string]string{"cmdline": strings.ReplaceAll(tt.args, " ", "\x00")})
		must(t, os.Symlink("/srv/dir", filepath.Join(proc, "cwd")))
		if got, err := configFile(proc); got != tt.want || err != nil {
			t.Errorf("%s: %q, %v, want %q", tt.args, got, err, tt.want)
		}
	}
	if got, err := configFile(t.TempDir()); err == nil {
		t.Errorf("a process that has ended: %q, want an error", got)
	}
}
