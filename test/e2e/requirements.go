//go:build linux

package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	goversion "go/version"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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

// kubeletVariable names the version of the kubelet, such as "1.35.4". Empty: the newest one
// that "make e2e" has built.
const kubeletVariable = "STOWAGE_KUBELET"

// kubeletProgram returns the path and the version of a kubelet that "make e2e" builds.
func kubeletProgram() (path, version string, err error) {
	if v := os.Getenv(kubeletVariable); v != "" {
		path, err = kubernetesProgram(v, "kubelet")
		return path, v, err
	}
	path, err = kubernetesProgram("*", "kubelet")
	return path, kubernetesVersion(path), err
}

// kubernetesProgram returns the path of a program of Kubernetes in the newest version that
// matches the pattern and has been built.
func kubernetesProgram(pattern, name string) (string, error) {
	dir, err := nodetest.Tools()
	if err != nil {
		return "", err
	}
	all, err := filepath.Glob(filepath.Join(dir, "kubernetes-"+pattern, name))
	if err != nil || len(all) == 0 {
		return "", fmt.Errorf("no %s of Kubernetes %s in %s (make e2e builds it): %w", name, pattern, dir, errors.Join(err, fs.ErrNotExist))
	}
	return slices.MaxFunc(all, func(a, b string) int {
		// The versions of Go have the same syntax.
		return goversion.Compare("go"+kubernetesVersion(a), "go"+kubernetesVersion(b))
	}), nil
}

// kubernetesVersion returns the version in the path of a program of kubernetesProgram.
func kubernetesVersion(path string) string {
	return strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "kubernetes-")
}

// controlPlane are the programs of a cluster.
type controlPlane struct {
	etcd, apiServer, controllers, scheduler string
	plugins                                 []string // of CNI
}

// findControlPlane returns the programs that "make e2e" builds and fetches; etcd and the CNI
// plugins may be those of the system.
func findControlPlane() (p controlPlane, err error) {
	dir, err := nodetest.Tools()
	if err != nil {
		return p, err
	}
	for name, path := range map[string]*string{
		"kube-apiserver": &p.apiServer, "kube-controller-manager": &p.controllers, "kube-scheduler": &p.scheduler,
	} {
		if *path, err = kubernetesProgram("*", name); err != nil {
			return p, err
		}
	}
	if p.etcd, err = firstProgram(filepath.Join(dir, "cluster/usr/bin/etcd"), "etcd"); err != nil {
		return p, err
	}
	for _, name := range []string{"loopback", "ptp", "host-local"} {
		path, err := firstProgram(filepath.Join(dir, "cluster/usr/lib/cni", name), "/usr/lib/cni/"+name, "/opt/cni/bin/"+name)
		if err != nil {
			return p, err
		}
		p.plugins = append(p.plugins, path)
	}
	return p, nil
}

// firstProgram returns the first of the programs that exists.
func firstProgram(names ...string) (string, error) {
	var errs []error
	for _, name := range names {
		path, err := exec.LookPath(name)
		if err == nil {
			return path, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
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
