package hosts

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"stowage/pkg/pull"
)

// defaultDirectory is for the registries without a directory.
const defaultDirectory = "_default"

// maxDirectories bounds the number of registries in a directory.
const maxDirectories = 1000

// Directory reads a directory of containerd such as /etc/containerd/certs.d: one directory
// for each registry, named "quay.io", "quay.io_5000_" or "quay.io:5000", and "_default" for
// all others, with a hosts.toml in it, see [ParseHosts]. One without that file may have
// certificates as Docker names them: *.crt are authorities, *.cert with *.key are the
// client's. Paths in a hosts.toml are relative to its directory unless they are absolute.
//
// readDir and readFile are [os.ReadDir] and [os.ReadFile]. Files and directories whose
// names begin with a dot are ignored. The error joins the faults of all directories. The
// settings of a host that several registries use are merged as by [Config.Merge].
func Directory(root string, readDir func(path string) ([]fs.DirEntry, error), readFile func(path string) ([]byte, error)) (*Config, error) {
	entries, err := readDir(root)
	if err != nil {
		return nil, err
	}
	d := directory{root: root, readDir: readDir, readFile: readFile}
	names := map[string]string{} // directory by registry
	var registries []string
	for _, e := range entries {
		if e.Type().IsRegular() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		registry := registryOf(e.Name())
		if _, twice := names[registry]; !twice {
			registries = append(registries, registry)
		} else if e.Name() == registry {
			continue // quay.io_5000_ comes before quay.io:5000
		}
		names[registry] = e.Name()
	}
	if len(registries) > maxDirectories {
		return nil, fmt.Errorf("%s: more than %d directories", root, maxDirectories)
	}
	slices.Sort(registries)
	out := &Config{}
	var errs []error
	for _, registry := range registries {
		one, err := d.registry(registry, names[registry])
		if err == nil && one != nil {
			err = out.adopt(registry, one)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", filepath.Join(root, names[registry]), err))
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

// withPort returns the spelling of a host with a port for file systems without colons in
// names.
var withPort = regexp.MustCompile(`^(.+)_([0-9]+)_$`)

func registryOf(name string) string {
	if name == defaultDirectory {
		return everyRegistry
	}
	return withPort.ReplaceAllString(name, "$1:$2")
}

// directory is one directory of a registry.
type directory struct {
	root     string
	readDir  func(path string) ([]fs.DirEntry, error)
	readFile func(path string) ([]byte, error)
}

// registry reads the directory of a registry. It returns nil for a dangling link.
func (d directory) registry(registry, name string) (*Config, error) {
	dir := filepath.Join(d.root, name)
	read := func(path string) ([]byte, error) {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return d.readFile(path)
	}
	entries, err := d.readDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a dangling link
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	var raw []byte
	if slices.Contains(names, "hosts.toml") {
		if raw, err = read("hosts.toml"); err != nil {
			return nil, err
		}
	}
	if len(raw) > 0 {
		return ParseHosts(registry, raw, read)
	}
	p := &hostsParser{registry: registry, files: &pems{read: read}}
	if err := p.add(&hostsFile{hostTable: certificates(names)}, nil); err != nil {
		return nil, fmt.Errorf("certificates: %w", err)
	}
	return p.config, nil
}

// certificates returns authorities and key pairs, found by their names as in Docker.
func certificates(names []string) hostTable {
	var ca, client []any
	for _, name := range names {
		if strings.HasSuffix(name, ".crt") {
			ca = append(ca, name)
		}
		if base, ok := strings.CutSuffix(name, ".cert"); ok {
			key := ""
			if slices.Contains(names, base+".key") {
				key = base + ".key"
			}
			client = append(client, []any{name, key})
		}
	}
	var t hostTable
	if ca != nil {
		t.CA = ca
	}
	if client != nil {
		t.Client = client
	}
	return t
}

// adopt adds the configuration of one directory, whose registry is new.
func (c *Config) adopt(registry string, one *Config) error {
	if c.Mirrors == nil {
		c.Mirrors = map[string][]pull.Mirror{}
	}
	c.Mirrors[registry] = one.Mirrors[registry]
	for _, name := range slices.Sorted(maps.Keys(one.Hosts)) {
		if err := c.addHost(name, one.Hosts[name]); err != nil {
			return err
		}
	}
	return nil
}
