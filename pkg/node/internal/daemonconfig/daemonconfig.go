// Package daemonconfig reads from containerd's own configuration files what containerd 2
// does not report: the sandbox image, the directories with hosts.toml files, and the
// snapshotters of runtime handlers.
//
// It knows the formats 1 to 4 of the files and merges imported ones as containerd 2 does,
// key by key (mergeConfig in cmd/containerd/server/config/config.go). containerd 1 replaces
// a plugin's whole section instead, but reports its configuration through CRI.
package daemonconfig

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/pelletier/go-toml/v2"
)

// Config is what the files of one containerd say. What they do not set is empty: then the
// default of its version counts.
type Config struct {
	// Files are the paths of the files, as containerd sees them, in the order in which it
	// merges them: the file that it was started with, then those imported. The list has
	// those that do not exist as well.
	Files []string
	// Sandbox is the image of every pod's sandbox.
	Sandbox string
	// ConfigPath are the directories with a directory for each registry that has a
	// hosts.toml file. The first that knows a registry counts.
	ConfigPath []string
	// Mirrors says that the deprecated table registry.mirrors is not empty. containerd does not
	// start with it and ConfigPath.
	Mirrors bool
	// Runtimes are the snapshotters of the runtime handlers that have one of their own.
	// containerd creates the containers of a handler in this snapshotter. What the table
	// runtime_platforms of the image service sets counts for pulls only.
	Runtimes map[string]string
}

// Of returns the configuration of the process pid, a containerd. It fails when its command
// line cannot be read; a file that cannot be read counts as empty.
func Of(pid int) (Config, error) {
	proc := fmt.Sprintf("/proc/%d", pid)
	file, err := configFile(proc)
	if err != nil {
		return Config{}, err
	}
	return Read(proc+"/root", file), nil
}

// Read returns the configuration that begins with file, a path below the directory root.
func Read(root, file string) Config {
	var c Config
	files := merged(root, file)
	for _, f := range files {
		c.Files = append(c.Files, f.path)
		c.add(&f.content)
	}
	return c
}

// content is the part of a configuration file that is read. The CRI plugin has one section
// in the formats 1 and 2, and one for images and one for containers since format 3.
type content struct {
	Imports []string `toml:"imports"`
	Plugins struct {
		V1 criSection `toml:"cri"`
		V2 criSection `toml:"io.containerd.grpc.v1.cri"`
		V3 struct {
			Pinned struct {
				Sandbox string `toml:"sandbox"`
			} `toml:"pinned_images"`
			Registry registry `toml:"registry"`
		} `toml:"io.containerd.cri.v1.images"`
		V3Runtime struct {
			Containerd runtimes `toml:"containerd"`
		} `toml:"io.containerd.cri.v1.runtime"`
	} `toml:"plugins"`
}

type criSection struct {
	SandboxImage string   `toml:"sandbox_image"`
	Registry     registry `toml:"registry"`
	Containerd   runtimes `toml:"containerd"`
}

type registry struct {
	ConfigPath string         `toml:"config_path"`
	Mirrors    map[string]any `toml:"mirrors"`
}

type runtimes struct {
	Runtimes map[string]struct {
		Snapshotter string `toml:"snapshotter"`
	} `toml:"runtimes"`
}

// parse reads a configuration file. One that containerd would not start with counts as empty.
func parse(text []byte) content {
	var c content
	if toml.Unmarshal(text, &c) != nil {
		return content{}
	}
	return c
}

// add merges a file into what the files before it have set. An empty value sets nothing.
func (c *Config) add(f *content) {
	p := &f.Plugins
	for _, name := range []string{p.V1.SandboxImage, p.V2.SandboxImage, p.V3.Pinned.Sandbox} {
		if name != "" {
			c.Sandbox = name
		}
	}
	for _, r := range []registry{p.V1.Registry, p.V2.Registry, p.V3.Registry} {
		if r.ConfigPath != "" {
			c.ConfigPath = slices.DeleteFunc(filepath.SplitList(r.ConfigPath), func(dir string) bool { return dir == "" })
		}
		c.Mirrors = c.Mirrors || len(r.Mirrors) > 0
	}
	for _, r := range []runtimes{p.V1.Containerd, p.V2.Containerd, p.V3Runtime.Containerd} {
		for handler, runtime := range r.Runtimes {
			if s := runtime.Snapshotter; s != "" {
				if c.Runtimes == nil {
					c.Runtimes = map[string]string{}
				}
				c.Runtimes[handler] = s
			}
		}
	}
}
