package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"stowage/pkg/pull"
)

// tree writes files below a directory of the test and returns it.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestDirectory(t *testing.T) {
	pem := withBoth(t)
	ca, cert, key, both := string(pem["/etc/ca.pem"]), string(pem["/etc/cert.pem"]), string(pem["/etc/key.pem"]), string(pem["/etc/both.pem"])
	root := tree(t, map[string]string{
		"README":                           "a file",
		".git/hosts.toml":                  "no TOML",
		"docker.io/hosts.toml":             "[host.'https://m.example']\nca = 'ca.pem'\n[host.'https://n.example']\nca = '../shared.pem'",
		"docker.io/ca.pem":                 ca,
		"shared.pem":                       ca,
		"quay.io_5000_/hosts.toml":         "server = 'https://first.example'",
		"quay.io:5000/hosts.toml":          "server = 'https://second.example'",
		"ghcr.io:443/hosts.toml":           "server = 'https://g.example'",
		"certs.example/ca.crt":             ca,
		"certs.example/b.cert":             cert,
		"certs.example/b.key":              key,
		"certs.example/c.cert":             both,
		"certs.example/note.txt":           "nothing",
		"empty.example/hosts.toml":         "",
		"_default/hosts.toml":              "server = 'https://all.example'\n[host.'https://m.example']\nca = 'other.pem'",
		"_default/other.pem":               both,
		"..2026/data/docker.io/hosts.toml": "no TOML",
		"elsewhere.d/linked.io/hosts.toml": "",
		".linked/hosts.toml":               "server = 'https://l.example'",
	})
	for name, to := range map[string]string{"linked.io": ".linked", "gone.io": ".nowhere"} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	c, err := Directory(root, os.ReadDir, os.ReadFile)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"*: m.example", "*: all.example last",
		"certs.example: itself",
		"docker.io: m.example", "docker.io: n.example",
		"elsewhere.d: itself",
		"empty.example: itself",
		"ghcr.io:443: g.example last",
		"linked.io: l.example last",
		"quay.io:5000: first.example last",
	}
	if diff := cmp.Diff(want, show(c)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	count := func(host string) string {
		h := c.Hosts[host]
		return fmt.Sprintf("%d authorities, %d certificates", strings.Count(string(h.CA), "BEGIN CERT"), len(h.Certificates))
	}
	for host, want := range map[string]string{
		"m.example":     "2 authorities, 0 certificates", // from docker.io and from _default
		"n.example":     "1 authorities, 0 certificates",
		"certs.example": "1 authorities, 2 certificates",
	} {
		if got := count(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

func TestInvalidDirectory(t *testing.T) {
	root := tree(t, map[string]string{
		"a.example/hosts.toml":  "skip_verfy = true",
		"b.example/ca.crt":      "s3cret",
		"c.example/hosts.toml":  "server = 'https://shared.example'\nskip_verify = true",
		"d.example/hosts.toml":  "server = 'https://shared.example'",
		"e example/hosts.toml":  "server = 'https://shared.example'",
		"_default/ca.crt":       string(certificate(t)["/etc/ca.pem"]),
		"fine.example/fine.txt": "",
	})
	_, err := Directory(root, os.ReadDir, os.ReadFile)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{
		"a.example: hosts.toml of a.example: line 1: field \"skip_verfy\" not found",
		"b.example: certificates: ca: ca.crt: no PEM certificate found",
		"d.example: host shared.example: whether its certificate is verified must be the same",
		"e example: hosts.toml of e example: not the name of a registry",
		"_default: certificates: settings without a server",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want %q in it", err, want)
		}
	}
	if strings.Contains(err.Error(), "fine") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("error %q", err)
	}
	if _, err := Directory(filepath.Join(root, "none"), os.ReadDir, os.ReadFile); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

func TestDirectoryUnreadable(t *testing.T) {
	root := tree(t, map[string]string{"a.example/hosts.toml": "x", "b.example/ca.crt": "x"})
	broken := errors.New("broken disk")
	readDir := func(path string) ([]fs.DirEntry, error) {
		if filepath.Base(path) == "b.example" {
			return nil, broken
		}
		return os.ReadDir(path)
	}
	_, err := Directory(root, readDir, func(string) ([]byte, error) { return nil, broken })
	if !errors.Is(err, broken) || strings.Count(err.Error(), "broken disk") != 2 {
		t.Errorf("error %v, want that of both", err)
	}
}

func TestDirectories(t *testing.T) {
	files := map[string]string{}
	for i := range maxDirectories {
		files[fmt.Sprintf("m%d.example/x", i)] = ""
	}
	root := tree(t, files)
	if c, err := Directory(root, os.ReadDir, os.ReadFile); err != nil || len(c.Mirrors) != maxDirectories {
		t.Errorf("%d registries: %v", maxDirectories, err)
	}
	if err := os.Mkdir(filepath.Join(root, "one.more"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Directory(root, os.ReadDir, os.ReadFile); err == nil || !strings.Contains(err.Error(), "more than 1000") {
		t.Errorf("one more: %v", err)
	}
}

// TestMergeDialTimeout checks that the shorter of two timeouts applies, in either order.
func TestMergeDialTimeout(t *testing.T) {
	for _, c := range []struct{ a, b, want time.Duration }{
		{0, 0, 0}, {0, time.Second, time.Second}, {time.Second, 0, time.Second},
		{time.Second, time.Minute, time.Second}, {time.Minute, time.Second, time.Second},
	} {
		a := &Config{Hosts: map[string]pull.Host{"h.example": {DialTimeout: c.a}}}
		err := a.Merge(&Config{Hosts: map[string]pull.Host{"h.example": {DialTimeout: c.b}}})
		if got := a.Hosts["h.example"].DialTimeout; err != nil || got != c.want {
			t.Errorf("%s and %s: %s, %v, want %s", c.a, c.b, got, err, c.want)
		}
	}
}

func TestMerge(t *testing.T) {
	parse := func(registry, raw string) *Config {
		t.Helper()
		c, err := ParseHosts(registry, []byte(raw), withBoth(t).read)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	k3s, err := ParseRegistries([]byte(example), certificate(t).read)
	if err != nil {
		t.Fatal(err)
	}
	accounts := len(k3s.Secrets)
	before := parse("docker.io", "[host.'https://mirror.example:5000/x']\nca = '/etc/both.pem'")
	all := parse("_default", "server = 'https://s.example'")
	for _, other := range []*Config{before, {}, all} {
		if err := k3s.Merge(other); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{
		"*: any.example", "*: s.example last",
		"docker.io: mirror.example:5000", "docker.io: plain.example", "docker.io: artifacts.example/api/docker/hub/v2",
		"docker.io: mirror.example:5000/x/v2", "docker.io: s.example last",
	}
	if diff := cmp.Diff(want, show(k3s)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if h := k3s.Hosts["mirror.example:5000"]; len(h.Certificates) != 1 || strings.Count(string(h.CA), "BEGIN CERT") != 2 {
		t.Errorf("mirror.example: %v", h)
	}
	if len(k3s.Secrets) != accounts || len(before.Mirrors) != 1 || len(before.Mirrors["docker.io"]) != 1 {
		t.Error("accounts are lost, or what was merged has changed")
	}
	names := slices.Sorted(maps.Keys(k3s.Hosts))
	if err := k3s.Merge(parse("quay.io", "server = 'https://artifacts.example'")); err == nil || !strings.Contains(err.Error(), "artifacts.example") {
		t.Errorf("certificates looked at and not: %v", err)
	}
	if diff := cmp.Diff(names, slices.Sorted(maps.Keys(k3s.Hosts))); diff != "" {
		t.Errorf("a merge that failed has changed hosts: %s", diff)
	}
	for _, header := range []string{"{X = 's3cret'}", "{X = 's3cret', Y = 'z'}", "{}"} {
		if err := k3s.Merge(parse("quay.io", "server = 'https://plain.example'\nheader = "+header)); err != nil {
			t.Errorf("header %s: %v", header, err)
		}
	}
	if h := k3s.Hosts["plain.example"]; h.Header.Get("X") != "s3cret" || h.Header.Get("Y") != "z" || !h.Plain {
		t.Errorf("plain.example: %v", h)
	}
	if err := k3s.Merge(parse("quay.io", "server = 'https://plain.example'\nheader = {X = 's3cret2'}")); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("two values of a header: %v", err)
	}
}

func FuzzRegistryOf(f *testing.F) {
	for _, name := range []string{"quay.io", "quay.io_5000_", "quay.io:5000", "_default", "_5000_", "[::1]_5000_"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if registry := registryOf(name); registry != name && name != defaultDirectory && !strings.HasSuffix(name, "_") {
			t.Errorf("%q is taken for %q", name, registry)
		}
	})
}
