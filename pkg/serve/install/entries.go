package install

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// planEntries returns the changes that make containerd ask the registry first.
func (i *installer) planEntries() ([]change, error) {
	if program := i.rancher(); program != "" {
		return i.planRegistries(program)
	}
	if err := i.checkConfigPath(); err != nil {
		return nil, err
	}
	return i.planHosts()
}

// planHosts returns the changes of hosts.toml files: for the registries of the options, and
// for those that are wired already.
func (i *installer) planHosts() ([]change, error) {
	dirs, err := i.wiredDirs(i.Containerd.ConfigPath)
	if err != nil {
		return nil, err
	}
	for _, r := range i.report.Registries {
		dir, exists, err := hostsDirectory(i.at, i.Containerd.ConfigPath, r)
		if err != nil {
			return nil, err
		}
		if filepath.Base(dir) == defaultDirectory {
			i.note("%s has no directory of its own: %s is used, and other registries without one are asked for here first as well", r, dir)
		}
		o := ofNoFile
		if !exists {
			o = ofDirectory
		}
		dirs = append(dirs, hostsDir{dir, o})
	}
	var changes []change
	for _, d := range i.distinct(dirs) {
		c, err := i.planHostsFile(d)
		if err != nil {
			return nil, err
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// hostsDir is the directory of a registry, and what exists if hosts.toml does not.
type hostsDir struct {
	path   string
	origin origin
}

// distinct returns the directories without those whose file is that of an earlier one, under
// the same name or another that a symbolic link makes.
func (i *installer) distinct(dirs []hostsDir) []hostsDir {
	seen := map[string]bool{}
	return slices.DeleteFunc(dirs, func(d hostsDir) bool {
		file := i.at(filepath.Join(d.path, hostsFile))
		if real, err := filepath.EvalSymlinks(file); err == nil {
			file = real
		} else if dir, err := filepath.EvalSymlinks(filepath.Dir(file)); err == nil {
			file = filepath.Join(dir, hostsFile)
		}
		again := seen[file]
		seen[file] = true
		return again
	})
}

// planHostsFile returns the change of the hosts.toml in a directory.
func (i *installer) planHostsFile(d hostsDir) (change, error) {
	c := change{path: filepath.Join(d.path, hostsFile), dir: d.origin == ofDirectory}
	raw, base, o, err := i.original(c.path, d.origin)
	if err != nil {
		return c, err
	}
	var certificates []string
	if len(base) == 0 && o != ofDirectory {
		if certificates, err = certificateLines(i.at(d.path)); err != nil {
			return c, err
		}
	}
	next, err := wireHosts(base, o, i.host(), certificates)
	if err != nil {
		return c, i.editError(c.path, err, fmt.Sprintf("[host.%q]\n  capabilities = [\"pull\", \"resolve\"]", i.host()))
	}
	c.before, c.after, c.done = raw, next, Changed
	if raw == nil {
		c.done = Created
	}
	return c, nil
}

// original returns the content of a file, what it is without blocks of ours, and what there
// was before them: missing for a file that does not exist.
func (i *installer) original(path string, missing origin) (raw, base []byte, o origin, err error) {
	if raw, err = i.read(path); err != nil || raw == nil {
		return nil, nil, missing, err
	}
	base, o, found, err := removeBlocks(raw)
	if err != nil {
		return nil, nil, "", i.editError(path, err, "")
	}
	if !found || o == ofUnended {
		o = ofFile
	}
	return raw, base, o, nil
}

// wiredDirs returns the directories below roots whose hosts.toml has an entry of ours.
func (i *installer) wiredDirs(roots []string) ([]hostsDir, error) {
	var out []hostsDir
	for _, root := range roots {
		entries, err := os.ReadDir(i.at(root))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			dir := filepath.Join(root, e.Name())
			if info, err := os.Stat(i.at(filepath.Join(dir, hostsFile))); err != nil || !info.Mode().IsRegular() {
				continue
			}
			raw, err := i.read(filepath.Join(dir, hostsFile))
			if err != nil {
				return nil, err
			}
			if bytes.Contains(raw, []byte(beginMark)) {
				out = append(out, hostsDir{dir, ofFile})
			}
		}
	}
	return out, nil
}

// planRegistries returns the change of the registries.yaml of k3s or RKE2.
func (i *installer) planRegistries(program string) ([]change, error) {
	c := change{path: registriesFile(program), done: Changed}
	raw, base, o, err := i.original(c.path, ofNoFile)
	if err != nil {
		return nil, err
	}
	m, err := parseMirrors(base)
	if err != nil {
		return nil, i.editError(c.path, err, "")
	}
	keys := wiredMirrors(raw, base)
	for _, r := range i.report.Registries {
		keys = append(keys, m.entryOf(r))
	}
	slices.Sort(keys)
	keys = slices.Compact(keys)
	if c.before = raw; raw == nil {
		c.done = Created
	}
	if c.after, err = wireMirrors(base, o, i.host(), keys); err != nil {
		return nil, i.editError(c.path, err, "mirrors:\n  "+strings.Join(entries(keys, i.host()).lines, "\n  "))
	}
	for _, key := range keys {
		if len(m.Mirrors[key].Rewrite) > 0 {
			i.note("%s: the rewrites of the mirror %q change the names that are asked for here as well, so images that they match are not found", c.path, key)
		}
	}
	if c.changes() {
		i.report.Next = append(i.report.Next, "systemctl restart "+i.rancherUnit(program))
		i.note("%s reads %s when it starts; its pods keep running during a restart", program, c.path)
	}
	return []change{c}, nil
}

// planRemoval returns the changes that remove all entries.
func (i *installer) planRemoval() ([]change, error) {
	dirs, err := i.wiredDirs(i.knownRoots())
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, d := range i.distinct(dirs) {
		paths = append(paths, filepath.Join(d.path, hostsFile))
		i.report.Registries = append(i.report.Registries, registryOf(filepath.Base(d.path)))
	}
	for _, program := range ranchers {
		paths = append(paths, registriesFile(program))
	}
	var changes []change
	for _, path := range paths {
		raw, base, o, err := i.original(path, ofFile)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(raw, base) {
			changes = append(changes, i.removal(path, raw, base, o))
		}
	}
	slices.Sort(i.report.Registries)
	return changes, nil
}

// removal returns the change that leaves a file as it was before the installation.
func (i *installer) removal(path string, raw, base []byte, o origin) change {
	c := change{path: path, before: raw, after: base, done: Restored}
	for _, program := range ranchers {
		if path == registriesFile(program) {
			i.report.Registries = append(i.report.Registries, wiredMirrors(raw, base)...)
			i.report.Next = append(i.report.Next, "systemctl restart "+i.rancherUnit(program))
			i.note("until %s is restarted, containerd still asks the address of load serve first, at which any process can listen now", program)
		}
	}
	switch {
	case o != ofNoFile && o != ofDirectory:
	case len(base) == 0:
		c.after, c.done, c.dir = nil, Removed, o == ofDirectory
	default:
		i.note("%s was created by the installation and stays, because it has other lines now", path)
	}
	return c
}

// registryOf returns the name of the registry of a directory.
func registryOf(dir string) string {
	if name, ok := strings.CutSuffix(dir, "_"); ok {
		if i := strings.LastIndexByte(name, '_'); i > 0 {
			return name[:i] + ":" + name[i+1:]
		}
	}
	return dir
}

func (i *installer) note(format string, args ...any) {
	i.report.Notes = append(i.report.Notes, fmt.Sprintf(format, args...))
}
