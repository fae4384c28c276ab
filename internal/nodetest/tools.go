//go:build linux

package nodetest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ToolsVariable is the environment variable that names the directory of programs.
const ToolsVariable = "STOWAGE_TOOLS"

// VersionVariable is the environment variable that names the version of containerd if
// [Options] do not, so that the same tests run with all versions.
const VersionVariable = "STOWAGE_CONTAINERD"

// maxSocketPath is the longest path a unix socket can have (unix(7): 108 bytes
// with the terminating zero).
const maxSocketPath = 107

// tools are the paths of the programs of a node.
type tools struct {
	containerd, ctr string
	path            string // PATH for containerd, with the shim and runc
}

// Tools returns the directory with the programs of test nodes.
func Tools() (string, error) {
	if dir := os.Getenv(ToolsVariable); dir != "" {
		return dir, nil
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find the directory of tools: %w", err)
	}
	return filepath.Join(cache, "stowage", "tools"), nil
}

// findTools finds the four programs, first in the directory of the version, then in the
// directory of tools. The error names all missing programs.
func findTools(version string) (tools, error) {
	dir, err := Tools()
	if err != nil {
		return tools{}, &MissingError{err.Error()}
	}
	dirs := []string{dir}
	if version != "" {
		dirs = []string{filepath.Join(dir, "containerd-"+version), dir}
	}
	var missing []string
	find := func(name string, dirs []string) string {
		for _, d := range dirs {
			p := filepath.Join(d, name)
			if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return p
			}
		}
		missing = append(missing, name)
		return ""
	}
	// Only runc may come from the second directory: the other three belong to one version.
	t := tools{containerd: find("containerd", dirs[:1]), ctr: find("ctr", dirs[:1])}
	find("containerd-shim-runc-v2", dirs[:1])
	find("runc", dirs)
	if len(missing) > 0 {
		return tools{}, &MissingError{fmt.Sprintf("%s not found in %s (set %s to the directory of these programs)",
			strings.Join(missing, ", "), strings.Join(dirs, " or "), ToolsVariable)}
	}
	t.path = strings.Join(append(dirs, os.Getenv("PATH")), ":")
	return t, nil
}

// makeDir creates the directory of a node: with a path short enough for sockets, on a file
// system that can be the upper layer of an overlay.
func makeDir(base string) (string, error) {
	bases := []string{base}
	if base == "" {
		bases = []string{os.TempDir(), "/var/tmp", "/dev/shm"}
	}
	var errs []error
	for _, b := range bases {
		dir, err := os.MkdirTemp(b, "nt")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if err = checkDir(dir); err == nil {
			return dir, nil
		}
		errs = append(errs, err, os.RemoveAll(dir))
	}
	return "", &MissingError{"no directory for containerd: " + errors.Join(errs...).Error()}
}

// checkDir checks a directory by mounting an overlay in it.
func checkDir(dir string) error {
	if socket := filepath.Join(dir, "c.sock.ttrpc"); len(socket) > maxSocketPath {
		return fmt.Errorf("%s: longer than the %d bytes a socket's path may have", socket, maxSocketPath)
	}
	probe := filepath.Join(dir, "probe")
	defer os.RemoveAll(probe)
	var parts []string
	for _, name := range []string{"lowerdir", "upperdir", "workdir", "merged"} {
		if err := os.MkdirAll(filepath.Join(probe, name), 0o700); err != nil {
			return err
		}
		parts = append(parts, name+"="+filepath.Join(probe, name))
	}
	merged := filepath.Join(probe, "merged")
	if err := unix.Mount("overlay", merged, "overlay", 0, strings.Join(parts[:3], ",")); err != nil {
		return fmt.Errorf("mount an overlay in %s: %w", dir, err)
	}
	return unix.Unmount(merged, unix.MNT_DETACH)
}
