//go:build linux

package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// program is a program that is compared with ours.
type program struct {
	name    string
	install string   // package of "go install"; empty: it must be installed
	version string   // of that package's module
	ask     []string // arguments that print the version, if install is empty
}

// The peers. The versions were the newest when the tables of docs/benchmarks.md were made;
// they may be updated.
var (
	crane  = program{name: "crane", install: "github.com/google/go-containerregistry/cmd/crane", version: "v0.22.1"}
	regctl = program{name: "regctl", install: "github.com/regclient/regclient/cmd/regctl", version: "v0.11.7"}
	oras   = program{name: "oras", install: "oras.land/oras/cmd/oras", version: "v1.3.6"}
	skopeo = program{name: "skopeo", ask: []string{"--version"}}
	ctr    = program{name: "ctr", install: "github.com/containerd/containerd/v2/cmd/ctr", version: "v2.4.2"}
)

// installTime is the time limit for building a peer.
const installTime = 10 * time.Minute

// installed is a program that can be started.
type installed struct{ path, version string }

// find finds the program in dir, or in PATH if it cannot be built. If build is set, it
// builds the program into dir if it is missing or has another version.
func (p program) find(ctx context.Context, dir string, build bool) (installed, error) {
	if p.install == "" {
		return p.findInPath(ctx)
	}
	file := filepath.Join(dir, p.name)
	if builtVersion(file) == p.version {
		return installed{file, p.version}, nil
	}
	if !build {
		return installed{}, fmt.Errorf("%s %s is not in %s", p.name, p.version, dir)
	}
	ctx, cancel := context.WithTimeout(ctx, installTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "install", "-trimpath", p.install+"@"+p.version)
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return installed{}, fmt.Errorf("go install %s@%s: %w: %s", p.install, p.version, err, lastLine(string(out)))
	}
	return installed{file, p.version}, nil
}

// findInPath finds an installed program.
func (p program) findInPath(ctx context.Context) (installed, error) {
	file, err := exec.LookPath(p.name)
	if err != nil {
		return installed{}, fmt.Errorf("%s is not installed", p.name)
	}
	out, err := exec.CommandContext(ctx, file, p.ask...).Output()
	if err != nil {
		return installed{}, fmt.Errorf("%s %s: %w", p.name, strings.Join(p.ask, " "), err)
	}
	fields := strings.Fields(string(out))
	if len(fields) == 0 {
		return installed{}, fmt.Errorf("%s does not print its version", p.name)
	}
	return installed{file, fields[len(fields)-1]}, nil
}

// builtVersion returns the version of the module that a Go program was built from; empty if
// there is no such program.
func builtVersion(file string) string {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return ""
	}
	return info.Main.Version
}

// lastLine returns the last line of a text, without trailing white space.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// ours finds one of our two programs in the directory of built programs.
func ours(dir, name string) (string, error) {
	file := filepath.Join(dir, name)
	if info, err := os.Stat(file); err != nil || info.IsDir() {
		return "", fmt.Errorf("%s is not in %s: run \"make build\", or name the directory with -bin", name, dir)
	}
	return file, nil
}

// buildHelper builds a program of ours that runs another one into dir.
func buildHelper(ctx context.Context, dir, pkg string) (string, error) {
	file := filepath.Join(dir, path.Base(pkg))
	out, err := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", file, pkg).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, lastLine(string(out)))
	}
	return file, nil
}
