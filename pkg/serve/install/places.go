package install

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// ranchers are the distributions with a registries.yaml.
var ranchers = []string{"k3s", "rke2"}

func registriesFile(program string) string {
	return filepath.Join("/etc/rancher", program, "registries.yaml")
}

// rancher returns the distribution that writes containerd's configuration, "" if it is
// neither k3s nor RKE2. Both have it below the directory agent of their data directory.
func (i *installer) rancher() string {
	if len(i.Containerd.Files) == 0 || !strings.HasSuffix(filepath.Dir(i.Containerd.Files[0]), "/agent/etc/containerd") {
		return ""
	}
	for _, program := range ranchers {
		if strings.Contains(i.Containerd.Files[0], "/"+program+"/") {
			return program
		}
	}
	if _, err := os.Stat(i.at("/etc/rancher/rke2")); err == nil {
		return "rke2"
	}
	return "k3s"
}

// rancherUnit returns the unit that runs the distribution on this node.
func (i *installer) rancherUnit(program string) string {
	units := map[string][]string{"k3s": {"k3s-agent", "k3s"}, "rke2": {"rke2-agent", "rke2-server"}}[program]
	for _, unit := range units {
		for _, wants := range []string{"multi-user.target.wants", "default.target.wants"} {
			if _, err := os.Lstat(i.at(filepath.Join(unitDir, wants, unit+".service"))); err == nil {
				return unit
			}
		}
	}
	return units[len(units)-1]
}

// knownRoots are the directories in which entries may be.
func (i *installer) knownRoots() []string {
	roots := append(slices.Clone(i.Containerd.ConfigPath), "/etc/containerd/certs.d", "/etc/docker/certs.d",
		"/etc/k0s/containerd/certs.d", "/var/snap/microk8s/current/args/certs.d")
	for n := range roots {
		roots[n] = filepath.Clean(roots[n])
	}
	slices.Sort(roots)
	return slices.Compact(roots)
}

// EditError reports a file to which no entry can be added.
type EditError struct {
	Path string
	Want string // the lines to add by hand, "" if that is not the way
	Err  error
}

func (e *EditError) Error() string { return e.Path + ": " + e.Err.Error() }

// Unwrap returns the reason.
func (e *EditError) Unwrap() error { return e.Err }

func (i *installer) editError(path string, err error, want string) error {
	return &EditError{Path: path, Want: want, Err: err}
}

// ConfigPathError reports a containerd that does not read hosts.toml files.
type ConfigPathError struct {
	Version string // of containerd
	Mirrors bool   // registry.mirrors is set, which it does not accept beside a config_path
	Several bool   // it has several directories, which it does not read when it pulls through its transfer service
	File    string // the file to change
	New     bool   // that does not exist and begins with the version of its format
	Format  int
	Section string // the table in it, without brackets
	Line    string
}

func (e *ConfigPathError) Error() string {
	if e.Several {
		return fmt.Sprintf("containerd %s ignores a config_path of several directories", e.Version)
	}
	return fmt.Sprintf("containerd %s has no config_path, so it reads no hosts.toml", e.Version)
}

// checkConfigPath returns a [*ConfigPathError] for a containerd that would not see an entry.
//
// containerd 2.1 and later take a list of directories for the name of one when they pull
// through the transfer service, which they do unless use_local_image_pull is set
// (registry.WithHostDir in internal/cri/server/images/image_pull.go of 2.1.4 to 2.4.2,
// github.com/containerd/containerd/issues/12808). The default of 2.2 and later is such a list.
func (i *installer) checkConfigPath() error {
	c := i.Containerd
	several := len(c.ConfigPath) > 1 && atLeast(c.Version, 2, 1) && !i.localPull()
	if len(c.ConfigPath) > 0 && !several {
		return nil
	}
	e := &ConfigPathError{Version: c.Version, Mirrors: c.Mirrors, Several: several, File: "/etc/containerd/config.toml",
		Line: `config_path = "/etc/containerd/certs.d"`}
	if len(c.Files) > 0 {
		e.File = c.Files[0]
	}
	if several {
		e.Line = fmt.Sprintf("config_path = %q", c.ConfigPath[0])
	}
	if raw, err := i.read(e.File); err == nil && bytes.Contains(raw, []byte(k0sMark)) {
		e.File = k0sDropIn
	}
	e.Format, e.New = i.configFormat(e.File)
	switch {
	case e.Format >= 3:
		e.Section = `plugins."io.containerd.cri.v1.images".registry`
	case e.Format == 2:
		e.Section = `plugins."io.containerd.grpc.v1.cri".registry`
	default:
		e.Section = "plugins.cri.registry"
	}
	return e
}

// k0s writes containerd's configuration again, with this line in it, and merges the files of a
// directory into it (docs/runtime.md of k0s).
const (
	k0sMark   = "k0s_managed=true"
	k0sDropIn = "/etc/k0s/containerd.d/certs.toml"
)

// atLeast reports whether a version is at least major.minor.
func atLeast(version string, major, minor int) bool {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return false
	}
	a, err1 := strconv.Atoi(parts[0])
	b, err2 := strconv.Atoi(parts[1])
	return err1 == nil && err2 == nil && (a > major || a == major && b >= minor)
}

// localPull reports whether containerd pulls by itself, not through its transfer service.
func (i *installer) localPull() bool {
	local := false
	for _, file := range i.Containerd.Files {
		var c struct {
			Plugins map[string]struct {
				Local *bool `toml:"use_local_image_pull"`
			} `toml:"plugins"`
		}
		if raw, err := i.read(file); err == nil && toml.Unmarshal(raw, &c) == nil {
			if set := c.Plugins["io.containerd.cri.v1.images"].Local; set != nil {
				local = *set
			}
		}
	}
	return local
}

// configFormat returns the version of the format of a configuration file, and that
// of a file to create if there is none.
func (i *installer) configFormat(file string) (format int, isNew bool) {
	raw, err := i.read(file)
	var c struct {
		Version int `toml:"version"`
	}
	if err == nil && len(bytes.TrimSpace(raw)) > 0 && toml.Unmarshal(raw, &c) == nil {
		return c.Version, false
	}
	if atLeast(i.Containerd.Version, 2, 0) {
		return 3, true
	}
	return 2, true
}
