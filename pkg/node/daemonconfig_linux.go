package node

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// maxConfigs limits the number of configuration files of a daemon.
	maxConfigs = 64
	// maxConfig limits the size of one of them, in bytes.
	maxConfig = 1 << 20
)

// daemonConfigs returns the configuration files of the daemon behind the socket, in the
// order in which it merges them. Files that cannot be read are empty.
func daemonConfigs(address string) []daemonConfig {
	file := "/etc/containerd/config.toml"
	pid, err := peer(address)
	if err != nil || pid <= 0 {
		return nil
	}
	proc := fmt.Sprintf("/proc/%d", pid)
	if b, err := os.ReadFile(proc + "/cmdline"); err == nil {
		if p := configFlag(strings.Split(string(b), "\x00")); p != "" {
			file = p
		}
	}
	if !filepath.IsAbs(file) {
		dir, err := os.Readlink(proc + "/cwd")
		if err != nil {
			return nil
		}
		file = filepath.Join(dir, file)
	}
	return mergedConfigs(proc+"/root", file)
}

// mergedConfigs reads a configuration file and all that it imports, below root: a
// file, then its imports, then theirs, each once. Later ones override earlier ones
// (LoadConfig and resolveImports in cmd/containerd/server/config of containerd).
func mergedConfigs(root, file string) []daemonConfig {
	var all []daemonConfig
	seen := map[string]bool{}
	for pending := []string{file}; len(pending) > 0 && len(all) < maxConfigs; {
		file, pending = pending[0], pending[1:]
		if seen[file] {
			continue
		}
		seen[file] = true
		c := readConfig(filepath.Join(root, file))
		all = append(all, c)
		for _, path := range c.Imports {
			pending = append(pending, resolveImport(root, filepath.Dir(file), path)...)
		}
	}
	return all
}

// resolveImport returns the files that one entry of the imports of a file in dir names.
func resolveImport(root, dir, path string) []string {
	if path = filepath.Clean(path); !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	if !strings.Contains(path, "*") {
		return []string{path}
	}
	found, err := filepath.Glob(filepath.Join(root, path))
	if err != nil {
		return nil // containerd does not start with this pattern
	}
	for i, f := range found {
		found[i] = "/" + strings.TrimLeft(strings.TrimPrefix(f, filepath.Clean(root)), "/")
	}
	return found
}

// readConfig reads one file, empty when it cannot be read.
func readConfig(path string) daemonConfig {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxConfig {
		return daemonConfig{}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return daemonConfig{}
	}
	return parseDaemonConfig(b)
}

// configFlag returns the value of -c or --config among the arguments of containerd.
func configFlag(args []string) string {
	for i, a := range args {
		name, value, joined := strings.Cut(a, "=")
		if strings.TrimLeft(name, "-") != "c" && strings.TrimLeft(name, "-") != "config" || !strings.HasPrefix(name, "-") {
			continue
		}
		if joined {
			return value
		}
		if i+1 < len(args) {
			return args[i+1]
		}
	}
	return ""
}
