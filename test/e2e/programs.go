//go:build linux

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"stowage/internal/nodetest"
)

// paths are the programs under test and the program in the images of these tests.
type paths struct {
	bundle, load, filecheck string
}

var built struct {
	once    sync.Once
	dir     string
	janitor *nodetest.Janitor // removes dir, even if this process is killed
	paths   paths
	err     error
}

// programs builds bundle and load as the Makefile does, from the sources beside this
// module, at the first call.
func programs(t *testing.T) paths {
	t.Helper()
	built.once.Do(func() { built.err = build() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.paths
}

// clean removes what programs built. TestMain calls it at the end.
func clean() error {
	if built.janitor == nil {
		return nil
	}
	return built.janitor.Finish()
}

func build() (err error) {
	if built.janitor, err = nodetest.StartJanitor(janitorScript); err != nil {
		return err
	}
	if built.dir, err = os.MkdirTemp("", "stowage-programs-"); err != nil {
		return err
	}
	if err := built.janitor.Send("dir " + built.dir); err != nil {
		return err
	}
	in := func(name string) string { return filepath.Join(built.dir, name) }
	built.paths = paths{bundle: in("bundle"), load: in("load"), filecheck: in("filecheck")}
	here, err := os.Getwd() // go test runs a package's tests in its directory
	if err != nil {
		return err
	}
	product := filepath.Join(here, "..", "..") // another module, with its own go.sum
	if err := goBuild(product, "./cmd/bundle", "./cmd/load"); err != nil {
		return err
	}
	return goBuild(here, "./filecheck")
}

// goBuild builds static programs into the directory.
func goBuild(dir string, packages ...string) error {
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", built.dir + string(filepath.Separator)}
	cmd := exec.Command("go", append(args, packages...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// runBundle writes a bundle outside any machine, with no accounts except those in the
// arguments and manifests.
func runBundle(t *testing.T, args ...string) outcome {
	t.Helper()
	cmd := exec.Command(programs(t).bundle, append([]string{"--progress", "none"}, args...)...)
	cmd.Env = withoutAccounts(t.TempDir())
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return finish(t, cmd, err, &stdout, &stderr)
}

// withoutAccounts returns the environment of a user who has never logged in.
func withoutAccounts(home string) []string {
	return append(os.Environ(), "HOME="+home, "DOCKER_CONFIG="+home, "DOCKER_AUTH_CONFIG=", "REGISTRY_AUTH_FILE=", "XDG_RUNTIME_DIR="+home)
}
