//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stowage/internal/need"
	"stowage/internal/nodetest"
)

// requireMachine ends the test if this machine cannot run one.
func requireMachine(t *testing.T) {
	t.Helper()
	if err := missing(); err != nil {
		need.Missing(t, err)
	}
}

// missing returns an error for the first missing requirement.
func missing() error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("not running as root: no namespaces, no mounts")
	}
	for _, name := range []string{"mkfs.ext4", "mount"} {
		if _, err := exec.LookPath(name); err != nil {
			return err
		}
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return fmt.Errorf("no loop devices: %w", err)
	}
	return nil
}

// kubeletProgram returns the path of the kubelet that "make e2e" builds.
func kubeletProgram() (string, error) {
	dir, err := nodetest.Tools()
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "kubelet")
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no kubelet (make e2e builds it): %w", err)
	}
	return path, nil
}

// runcProgram finds a runc with seccomp, which the kubelet requires for every sandbox. The
// runc of the other tests is built without it, because it needs the headers of libseccomp;
// "make e2e" downloads the distribution's. A runc in PATH is accepted, too.
func runcProgram() (string, error) {
	dir, err := nodetest.Tools()
	if err != nil {
		return "", err
	}
	var tried []string
	for _, name := range []string{filepath.Join(dir, "runc-seccomp"), "runc"} {
		path, err := exec.LookPath(name)
		if err != nil {
			tried = append(tried, err.Error())
			continue
		}
		out, err := exec.Command(path, "features").Output()
		var features struct {
			Linux struct{ Seccomp struct{ Enabled bool } }
		}
		if err == nil && json.Unmarshal(out, &features) == nil && features.Linux.Seccomp.Enabled {
			return path, nil
		}
		tried = append(tried, path+": built without seccomp")
	}
	return "", fmt.Errorf("no runc with seccomp (make e2e fetches one): %s", strings.Join(tried, "; "))
}
