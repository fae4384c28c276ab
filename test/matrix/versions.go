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

// versionNumber finds the version in what containerd prints of itself.
var versionNumber = regexp.MustCompile(`\bv?(\d+\.\d+\.\d+)`)

// installed lists the containerds of the folder of tools, the oldest first: the one that lies
// there, and those in folders "containerd-VERSION" beside it.
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
		return nil, fmt.Errorf("ask containerd in %s for its version: %w", dir, err)
	}
	if m := versionNumber.FindSubmatch(out); m != nil && !slices.Contains(versions, string(m[1])) {
		versions = append(versions, string(m[1]))
	}
	slices.SortFunc(versions, func(a, b string) int { return slices.Compare(numbers(a), numbers(b)) })
	return versions, nil
}

// numbers are those of a version, for sorting.
func numbers(version string) []int {
	var list []int
	for _, s := range strings.Split(version, ".") {
		n, _ := strconv.Atoi(s) // what is no number comes first
		list = append(list, n)
	}
	return list
}

// launch starts a containerd of that version and no other.
func launch(ctx context.Context, version string) (*nodetest.Node, error) {
	dir, err := nodetest.Tools()
	if err != nil {
		return nil, err
	}
	o := nodetest.Options{Version: version}
	if _, err := os.Stat(filepath.Join(dir, "containerd-"+version)); errors.Is(err, os.ErrNotExist) {
		o.Version = "" // the one that lies in the folder itself
	}
	n, err := nodetest.Launch(ctx, o)
	if err != nil {
		return nil, err
	}
	out, err := n.Ctr("version")
	if err == nil && !strings.Contains(out, version) {
		err = &absentError{fmt.Sprintf("no containerd %s in the folder of tools", version)}
	}
	if err != nil {
		return nil, errors.Join(err, n.Stop())
	}
	return n, nil
}
