//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stowage/internal/nodetest"
)

// versionNumber matches the version in the output of containerd --version.
var versionNumber = regexp.MustCompile(`\bv?(\d+\.\d+\.\d+)`)

// installed returns the versions of containerd in the directory of tools, the oldest first:
// the one in the directory itself and those in directories "containerd-VERSION".
func installed(ctx context.Context) ([]string, error) {
	dir, err := nodetest.Tools()
	if err != nil {
		return nil, err
	}
	found, err := filepath.Glob(filepath.Join(dir, "containerd-[0-9]*", "containerd"))
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, f := range found {
		versions = append(versions, strings.TrimPrefix(filepath.Base(filepath.Dir(f)), "containerd-"))
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "containerd"), "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("run containerd --version in %s: %w", dir, err)
	}
	if m := versionNumber.FindSubmatch(out); m != nil && !slices.Contains(versions, string(m[1])) {
		versions = append(versions, string(m[1]))
	}
	slices.SortFunc(versions, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) })
	return versions, nil
}

// numbers returns the numbers of a version, for sorting.
func numbers(version string) []int {
	var list []int
	for _, s := range strings.Split(version, ".") {
		n, _ := strconv.Atoi(s) // 0 if it is not a number
		list = append(list, n)
	}
	return list
}

// launch starts a containerd of exactly that version.
func launch(ctx context.Context, version string) (*nodetest.Node, error) {
	dir, err := nodetest.Tools()
	if err != nil {
		return nil, err
	}
	o := nodetest.Options{Version: version, SandboxImage: nodetest.DefaultSandboxImage}
	if _, err := os.Stat(filepath.Join(dir, "containerd-"+version)); errors.Is(err, os.ErrNotExist) {
		o.Version = "" // the one in the directory itself
	}
	n, err := nodetest.Launch(ctx, o)
	if err != nil {
		return nil, err
	}
	out, err := n.Ctr("version")
	if err == nil && !strings.Contains(out, version) {
		err = &absentError{fmt.Sprintf("no containerd %s in the directory of tools", version)}
	}
	if err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}
