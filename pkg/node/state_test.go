//go:build linux

package node

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"stowage/pkg/node/internal/bundletest"
)

// state is everything that a load could leave on a node, with the times of the last change.
type state struct {
	Records, Blobs, Ingests, Snapshots, Leases []string
}

// take reads the state.
func (n *Node) take(t testing.TB) state {
	t.Helper()
	ctx := n.namespaced(t)
	var s state
	images, err := n.images.List(ctx)
	must(t, err)
	for _, i := range images {
		s.Records = append(s.Records, fmt.Sprint(i.Name, " ", i.Target.Digest, " ", i.Labels, " ", i.UpdatedAt))
	}
	must(t, n.content.Walk(ctx, func(i content.Info) error {
		s.Blobs = append(s.Blobs, fmt.Sprint(i.Digest, " ", i.Labels, " ", i.UpdatedAt))
		return nil
	}))
	ingests, err := n.content.ListStatuses(ctx)
	must(t, err)
	for _, i := range ingests {
		s.Ingests = append(s.Ingests, fmt.Sprint(i.Ref, " ", i.Offset))
	}
	must(t, n.snapshots.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		s.Snapshots = append(s.Snapshots, fmt.Sprint(i.Kind, " ", i.Name, " on ", i.Parent, " ", i.Updated))
		return nil
	}))
	all, err := n.client.LeasesService().List(ctx)
	must(t, err)
	for _, l := range all {
		s.Leases = append(s.Leases, l.ID)
	}
	for _, list := range [][]string{s.Records, s.Blobs, s.Ingests, s.Snapshots, s.Leases} {
		slices.Sort(list)
	}
	return s
}

// same fails the test if the state differs from the one before.
func (s state) same(t testing.TB, before state) {
	t.Helper()
	if d := cmp.Diff(before, s); d != "" {
		t.Errorf("state of the node changed (-before +after):\n%s", d)
	}
}

// collect runs containerd's garbage collection and waits for it.
func (n *Node) collect(t testing.TB) {
	t.Helper()
	ctx := n.namespaced(t)
	l, err := n.client.LeasesService().Create(ctx, leases.WithRandomID())
	must(t, err)
	must(t, n.client.LeasesService().Delete(ctx, l, leases.SynchronousDelete))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree lists the root file system with a chain ID: for each path its type, mode, owner,
// device, links, time, extended attributes, target and content.
func (n *Node) tree(t testing.TB, chain digest.Digest) map[string]string {
	t.Helper()
	ctx := n.namespaced(t)
	key := "view-" + t.Name()
	mounts, err := n.snapshots.View(ctx, key, chain.String())
	must(t, err)
	defer n.snapshots.Remove(context.WithoutCancel(ctx), key)
	out := map[string]string{}
	must(t, mount.WithTempMount(ctx, mounts, func(root string) error {
		return filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err == nil {
				out[rel], err = describeFile(path)
			}
			return err
		})
	}))
	if len(out) < 2 {
		t.Fatalf("root file system %s is empty", chain)
	}
	return out
}

// describeFile returns everything an image can state about a file as one line.
func describeFile(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	st := info.Sys().(*syscall.Stat_t)
	modified := info.ModTime().UTC().String()
	if time.Since(info.ModTime()) < time.Hour {
		modified = "made while unpacking" // a directory without an entry
	}
	line := fmt.Sprint(info.Mode(), " ", st.Uid, ":", st.Gid, " dev ", st.Rdev, " time ", modified, " xattrs ", xattrs(path))
	switch {
	case info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return "", err
		}
		defer f.Close()
		d, err := digest.FromReader(f) // some are larger than memory
		if err != nil {
			return "", err
		}
		line += fmt.Sprint(" links ", st.Nlink, " ", d)
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		line += " -> " + to
	}
	return line, nil
}

// xattrs lists the extended attributes of a file.
func xattrs(path string) []string {
	buf := make([]byte, 4096)
	size, err := unix.Llistxattr(path, buf)
	if err != nil {
		return nil
	}
	found := map[string]string{}
	for name := range splitZero(buf[:size]) {
		value := make([]byte, 4096)
		if n, err := unix.Lgetxattr(path, name, value); err == nil {
			found[name] = string(value[:n])
		}
	}
	var list []string
	for _, k := range slices.Sorted(maps.Keys(found)) {
		list = append(list, fmt.Sprintf("%s=%q", k, found[k]))
	}
	return list
}

// splitZero yields the names in a list with a zero byte after each.
func splitZero(b []byte) func(func(string) bool) {
	return func(yield func(string) bool) {
		for start, i := 0, 0; i < len(b); i++ {
			if b[i] == 0 {
				if !yield(string(b[start:i])) {
					return
				}
				start = i + 1
			}
		}
	}
}

// shelf holds the images of a test.
type shelf struct{ *bundletest.Shelf }

func newShelf(t testing.TB) *shelf {
	t.Helper()
	return &shelf{bundletest.New(t)}
}

// namespaced returns a context for the containerd services of the node.
func (n *Node) namespaced(t testing.TB) context.Context {
	t.Helper()
	return n.in(t.Context())
}

// kinds returns the kinds of warnings.
func kinds(all []Warning) (k []Kind) {
	for _, w := range all {
		k = append(k, w.Kind)
	}
	return k
}
