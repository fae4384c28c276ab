package node

import (
	"context"
	"fmt"
	"regexp"
	"strings"
)

// sandboxImage gives the name of the image that every pod needs besides its
// own: from the CRI plugin (until 1.7 it tells), from the daemon's configuration
// files, else the default of this version. Empty: not known.
func (n *Node) sandboxImage(ctx context.Context) string {
	if c, err := n.criConfig(ctx); err == nil && c.SandboxImage != "" {
		return c.SandboxImage
	}
	if name := sandboxOf(daemonConfigs(n.server.Address)...); name != "" {
		return name
	}
	return defaultSandbox(n.server.Version)
}

// sandboxDefaults are the sandbox images that versions of containerd are built
// with (pkg/cri/config, later internal/cri/config).
var sandboxDefaults = map[string]string{
	"1.6": "registry.k8s.io/pause:3.6",
	"1.7": "registry.k8s.io/pause:3.8",
	"2.4": "registry.k8s.io/pause:3.10.2",
}

func defaultSandbox(version string) string {
	v, ok := parseVersion(version)
	if !ok {
		return ""
	}
	return sandboxDefaults[fmt.Sprintf("%d.%d", v[0], v[1])]
}

var (
	tomlTable   = regexp.MustCompile(`^\s*\[([^\[\]]+(\[[^\]]*\])?[^\[\]]*)\]`)
	tomlSandbox = regexp.MustCompile(`^\s*(sandbox_image|sandbox)\s*=\s*["']([^"']+)["']`)
	// The table in one line: pinned_images = { sandbox = "…" } or pinned_images.sandbox.
	tomlPinned  = regexp.MustCompile(`^[^#]*\bpinned_images["']?\s*(?:\.|=\s*\{[^#}]*?)\s*\b["']?sandbox["']?\s*=\s*["']([^"']+)["']`)
	tomlImports = regexp.MustCompile(`^\s*imports\s*=\s*\[(.*)`)
	tomlString  = regexp.MustCompile(`^("([^"\\]*)"|'([^']*)')`)
)

// sandboxOf finds the sandbox image in configuration files of which the later ones
// count: sandbox_image of version 2, sandbox in the table pinned_images since version 3.
// An empty value counts for nothing. Reading these keys line by line spares a TOML
// library.
func sandboxOf(configs ...string) (sandbox string) {
	for _, config := range configs {
		table := ""
		for line := range strings.Lines(config) {
			if m := tomlTable.FindStringSubmatch(line); m != nil {
				table = strings.Trim(m[1], ` "'`)
			}
			if m := tomlPinned.FindStringSubmatch(line); m != nil {
				sandbox = m[1]
			} else if m := tomlSandbox.FindStringSubmatch(line); m != nil && (m[1] == "sandbox_image" || strings.HasSuffix(table, "pinned_images")) {
				sandbox = m[2]
			}
		}
	}
	return sandbox
}

// importsOf gives the files that a configuration file imports: a list of strings before
// the first table, on one line or several.
func importsOf(config string) (paths []string) {
	list, inside := "", false
	for line := range strings.Lines(config) {
		switch m := tomlImports.FindStringSubmatch(line); {
		case inside:
			list += line
		case tomlTable.MatchString(line):
			return nil
		case m != nil:
			list, inside = m[1]+"\n", true
		}
	}
	for {
		list = strings.TrimLeft(list, " \t\r\n,")
		if strings.HasPrefix(list, "#") {
			_, list, _ = strings.Cut(list, "\n")
			continue
		}
		m := tomlString.FindStringSubmatch(list)
		if m == nil { // the end of the list
			return paths
		}
		paths = append(paths, m[2]+m[3])
		list = list[len(m[0]):]
	}
}
