package daemonconfig

import (
	"os"
	"path/filepath"
	"strings"
)

const (
	// defaultFile is the configuration file of a containerd that was started without a
	// flag for it.
	defaultFile = "/etc/containerd/config.toml"
	// maxFiles limits the number of configuration files of a daemon.
	maxFiles = 64
	// maxFile limits the size of one of them, in bytes.
	maxFile = 1 << 20
)

// configFile returns the path of the file that the process was started with. proc is its
// directory in /proc.
func configFile(proc string) (string, error) {
	b, err := os.ReadFile(proc + "/cmdline")
	if err != nil {
		return "", err
	}
	file := configFlag(strings.Split(string(b), "\x00"))
	switch {
	case file == "":
		return defaultFile, nil
	case filepath.IsAbs(file):
		return file, nil
	}
	dir, err := os.Readlink(proc + "/cwd")
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, file), nil
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

// file is one configuration file.
type file struct {
	path    string // as containerd sees it
	content content
}

// merged reads a configuration file and all that it imports, below root: a file, then its
// imports, then theirs, each once. Later ones override earlier ones (LoadConfig and
// resolveImports in cmd/containerd/server/config of containerd).
func merged(root, first string) []file {
	var all []file
	seen := map[string]bool{}
	for pending := []string{first}; len(pending) > 0 && len(all) < maxFiles; {
		path := pending[0]
		pending = pending[1:]
		if seen[path] {
			continue
		}
		seen[path] = true
		f := file{path, read(filepath.Join(root, path))}
		all = append(all, f)
		for _, pattern := range f.content.Imports {
			pending = append(pending, resolveImport(root, filepath.Dir(path), pattern)...)
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

// read reads one file, empty when it cannot be read.
func read(path string) content {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxFile {
		return content{}
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return content{}
	}
	return parse(b)
}
