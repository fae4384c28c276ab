//go:build linux

package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// TestStaleSnapshots loads into a containerd whose snapshotter has directories with the IDs
// that its database assigns next, as after a power cut that the directories have survived and
// the last transactions have not.
func TestStaleSnapshots(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	hello, pause := s.Hello("acme/hello", "v1"), s.Sandbox()
	var layers []*registrytest.Layer
	for i := range 6 {
		layers = append(layers, &registrytest.Layer{Seed: uint64(i), Files: []registrytest.File{{Name: strconv.Itoa(i), Size: 200 << 10}}})
	}
	app := s.Image("acme/app", "v1", registrytest.Image{Layers: layers})
	base := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: pause})
	path := s.File(archive.PlanOptions{}, wantedAll([]string{app, hello})...)
	for _, tt := range []struct {
		version, snapshotter string
		stale                []int // after the last ID
	}{
		{"", "overlayfs", []int{1, 2, 3, 4, 5, 6, 7, 8}},
		{"", "overlayfs", []int{3, 5, 6}},
		{"1.7.35", "overlayfs", []int{1, 2, 5}},
		{"1.6.20", "overlayfs", []int{1, 2, 5}},
		{"", "native", []int{1}},
	} {
		t.Run(tt.version+" "+tt.snapshotter, func(t *testing.T) {
			machine, n := connect(t, nodetest.Options{Version: tt.version, SandboxImage: pause})
			load(t, n, bundletest.Open(t, base), LoadOptions{})
			reconnected := func() *Node {
				n, err := Connect(t.Context(), Options{Address: machine.Address(), Snapshotter: tt.snapshotter})
				must(t, err)
				t.Cleanup(func() { n.Close() })
				return n
			}
			n = reconnected()
			makeStale(t, machine, n.snapshotter.root, tt.stale)
			n = reconnected()
			var total, passed atomic.Int64
			r := load(t, n, bundletest.Open(t, path), LoadOptions{
				OnStart: func(n int64) { total.Add(n) }, OnBytes: func(n int64) { passed.Add(n) },
			})
			if total.Load() != passed.Load() || r.Layers != len(layers)+1 || r.UpToDate() {
				t.Errorf("%d of %d bytes, report %+v", passed.Load(), total.Load(), r)
			}
			if left := staleFiles(t, n.snapshotter.root); len(left) > 0 {
				t.Errorf("left: %v", left)
			}
			if tt.snapshotter != "overlayfs" {
				return
			}
			if out, err := machine.RunContainer(t.Context(), hello); err != nil || out != "hello from acme/hello\n" {
				t.Errorf("container: %q, %v", out, err)
			}
		})
	}
}

// TestStaleSnapshotsInStream checks that a stream, which cannot be read again, fails, and that
// the next one is loaded.
func TestStaleSnapshotsInStream(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	s := newShelf(t)
	name := s.Hello("acme/hello", "v1")
	raw := contentOf(t, s.File(archive.PlanOptions{}, bundletest.Wanted{Name: name}))
	before := n.take(t)
	makeStale(t, machine, n.snapshotter.root, []int{1, 2, 3})
	n = reconnect(t, machine)
	_, err := loadAny(t.Context(), t, n, bytes.NewReader(raw), LoadOptions{})
	if _, ok := errors.AsType[*StaleSnapshotError](err); !ok {
		t.Errorf("error: %v, want a StaleSnapshotError", err)
	}
	if left := staleFiles(t, n.snapshotter.root); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	n.take(t).same(t, before)
	_, err = loadAny(t.Context(), t, n, bytes.NewReader(raw), LoadOptions{})
	must(t, err)
}

// makeStale stops containerd, adds directories as of snapshots with the IDs after the last one,
// and starts it again.
func makeStale(t *testing.T, machine *nodetest.Node, root string, after []int) {
	t.Helper()
	must(t, machine.Kill())
	last := 0
	for _, id := range snapshotIDs(t, root) {
		last = max(last, id)
	}
	for _, add := range after {
		dir := filepath.Join(root, "snapshots", strconv.Itoa(last+add))
		must(t, os.MkdirAll(filepath.Join(dir, "fs"), 0o755))
		must(t, os.MkdirAll(filepath.Join(dir, "work"), 0o711))
		must(t, os.WriteFile(filepath.Join(dir, "fs", "stale"), []byte("stale"), 0o644))
	}
	must(t, machine.Restart(t.Context()))
}

// snapshotIDs returns the directories of snapshots.
func snapshotIDs(t *testing.T, root string) (ids []int) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(root, "snapshots"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	must(t, err)
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		must(t, err)
		ids = append(ids, id)
	}
	return ids
}

// staleFiles returns the files of makeStale that are still there.
func staleFiles(t *testing.T, root string) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(root, "snapshots", "*", "fs", "stale"))
	must(t, err)
	return left
}
