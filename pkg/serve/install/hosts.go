package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// hostsFile is the name of the file in the directory of a registry.
const hostsFile = "hosts.toml"

// defaultDirectory is for all registries without a directory of their own.
const defaultDirectory = "_default"

// hostsDirectory returns the directory that containerd reads for a registry, and whether it
// exists: the first that exists below the roots in their order (hostDirFromRoots in
// internal/cri/server/images/image_pull.go and hostPaths in
// core/remotes/docker/config/config_unix.go of containerd 2.4). If there is none it is the
// one to create.
func hostsDirectory(at func(string) string, roots []string, registry string) (dir string, exists bool, err error) {
	own := registry
	if i := strings.LastIndexByte(registry, ':'); i > 0 {
		own = registry[:i] + "_" + registry[i+1:] + "_"
	}
	for _, root := range roots {
		for _, name := range []string{own, registry, defaultDirectory} {
			dir := filepath.Join(root, name)
			info, err := os.Stat(at(dir))
			switch {
			case err == nil && !info.IsDir():
				return "", false, fmt.Errorf("%s: not a directory", dir)
			case err == nil:
				return dir, true, nil
			case !errors.Is(err, fs.ErrNotExist):
				return "", false, err
			}
		}
	}
	return filepath.Join(roots[0], own), false, nil
}

// wireHosts returns the content of a hosts.toml with the host first, where raw is the one in
// place, without a block of ours. o says what exists; certificates are the lines that replace
// the certificate files of the directory, which containerd reads only where hosts.toml is
// missing or empty.
//
// No server is written: without one containerd asks the registry itself last, as it does
// without the file.
func wireHosts(raw []byte, o origin, host string, certificates []string) ([]byte, error) {
	before, err := parseHosts(raw)
	if err != nil {
		return nil, err
	}
	if i := slices.Index(before.order, host); i == 0 {
		return raw, nil
	} else if i > 0 || before.tables[host] != nil {
		return nil, fmt.Errorf("it has the host %s, but not as its first", host)
	}
	lines := append(slices.Clone(certificates), fmt.Sprintf("[host.%q]", host), `  capabilities = ["pull", "resolve"]`)
	for _, at := range before.places(raw) {
		out := insertLines(raw, at, 0, o, lines)
		if before.isWith(out, host) && restores(out, raw) {
			return out, nil
		}
	}
	return nil, errors.New("its hosts are not in tables of their own")
}

// restores reports whether the removal of the blocks of out returns raw.
func restores(out, raw []byte) bool {
	back, _, _, err := removeBlocks(out)
	return err == nil && bytes.Equal(back, raw)
}

// parsedHosts is what containerd reads in a hosts.toml.
type parsedHosts struct {
	order  []string       // the hosts, in the order in which they are asked
	tables map[string]any // by host
	others map[string]any // the other keys, except certificates
	first  int            // offset of the line of the first table, or the length of the file
}

// parseHosts parses a hosts.toml. containerd ignores a file for which it fails.
func parseHosts(raw []byte) (*parsedHosts, error) {
	var all map[string]any
	if err := toml.Unmarshal(raw, &all); err != nil {
		var at *toml.DecodeError
		if errors.As(err, &at) {
			row, column := at.Position()
			return nil, fmt.Errorf("line %d, column %d: not TOML; containerd ignores this file", row, column)
		}
		return nil, errors.New("not TOML; containerd ignores this file")
	}
	p := &parsedHosts{first: len(raw), others: all}
	if hosts, ok := all["host"]; ok {
		if p.tables, ok = hosts.(map[string]any); !ok {
			return nil, errors.New("host is not a table; containerd ignores this file")
		}
		delete(all, "host")
	}
	for name, table := range p.tables {
		if _, ok := table.(map[string]any); !ok {
			return nil, fmt.Errorf("host %q is not a table; containerd ignores this file", name)
		}
	}
	p.findTables(raw)
	return p, nil
}

// findTables finds the hosts in their order and the first table, as getSortedHosts of
// core/remotes/docker/config/hosts.go does. The decoder does not keep the order.
func (p *parsedHosts) findTables(raw []byte) {
	var parser unstable.Parser
	parser.Reset(raw)
	for parser.NextExpression() {
		e := parser.Expression()
		if e.Kind != unstable.Table && e.Kind != unstable.ArrayTable {
			continue
		}
		var parts []string
		for it := e.Key(); it.Next(); {
			if len(parts) == 0 {
				p.first = min(p.first, lineStart(raw, int(it.Node().Raw.Offset)))
			}
			parts = append(parts, string(it.Node().Data))
		}
		if e.Kind == unstable.Table && len(parts) > 1 && parts[0] == "host" && !slices.Contains(p.order, parts[1]) {
			p.order = append(p.order, parts[1])
		}
	}
}

// places returns the offsets at which a table can become the first: above the comment of
// the first table, and right above that table, in case that the comment is the end of a
// text of several lines.
func (p *parsedHosts) places(raw []byte) []int {
	return []int{aboveComment(raw, p.first), p.first}
}

// aboveComment returns the offset of the first of the comment lines right above the line at
// an offset.
func aboveComment(raw []byte, at int) int {
	for at > 0 && at < len(raw) {
		line := lineStart(raw, at-1)
		if !bytes.HasPrefix(bytes.TrimLeft(raw[line:at], " \t"), []byte("#")) {
			break
		}
		at = line
	}
	return at
}

// isWith reports whether raw is p with the host first, and otherwise unchanged.
func (p *parsedHosts) isWith(raw []byte, host string) bool {
	after, err := parseHosts(raw)
	if err != nil || len(after.order) == 0 || after.order[0] != host {
		return false
	}
	delete(after.tables, host)
	if !slices.Equal(after.order[1:], p.order) || len(after.tables) != len(p.tables) {
		return false
	}
	if len(p.tables) > 0 && !reflect.DeepEqual(after.tables, p.tables) {
		return false
	}
	for key, value := range p.others {
		if !reflect.DeepEqual(after.others[key], value) {
			return false
		}
	}
	return true
}

// lineStart returns the offset of the start of the line with the offset at.
func lineStart(raw []byte, at int) int { return bytes.LastIndexByte(raw[:at], '\n') + 1 }

// certificateLines returns the lines of a hosts.toml that do what the certificate files of a
// directory do for the registry without it (loadCertFiles in hosts.go of containerd).
func certificateLines(dir string) ([]string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, f := range files {
		names[f.Name()] = !f.IsDir()
	}
	var ca, client []string
	for _, f := range files {
		base, isClient := strings.CutSuffix(f.Name(), ".cert")
		switch {
		case f.IsDir():
		case strings.HasSuffix(f.Name(), ".crt"):
			ca = append(ca, fmt.Sprintf("%q", f.Name()))
		case isClient && names[base+".key"]:
			client = append(client, fmt.Sprintf("[%q, %q]", f.Name(), base+".key"))
		case isClient:
			client = append(client, fmt.Sprintf("[%q, %[1]q]", f.Name())) // the key is in the same file
		}
	}
	var lines []string
	if len(ca) > 0 {
		lines = append(lines, "ca = ["+strings.Join(ca, ", ")+"]")
	}
	if len(client) > 0 {
		lines = append(lines, "client = ["+strings.Join(client, ", ")+"]")
	}
	return lines, nil
}
