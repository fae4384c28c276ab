//go:build linux

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/system"
)

// smallInodes is how many inodes a small disk has.
const smallInodes = 8192

// smallDisk mounts a file system of size bytes until the test ends.
func smallDisk(t *testing.T, size int64) string {
	t.Helper()
	need.Root(t, "mount a file system")
	dir, err := os.MkdirTemp("/var/tmp", "sd")
	must(t, err)
	t.Cleanup(func() { os.Remove(dir) })
	must(t, unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,nr_inodes=%d", size, smallInodes)))
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// TestFullDiskLeavesNothing fills the disk during a load for which the space was sufficient
// when it began.
func TestFullDiskLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			machine, n := connect(t, nodetest.Options{Dir: smallDisk(t, 64<<20)})
			way.set(n)
			s := newShelf(t)
			name := s.Image("acme/large", "v1", registrytest.Image{Layers: []*registrytest.Layer{
				{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 5 << 20}}},
				{Seed: 2, Files: []registrytest.File{{Name: "b", Size: 9 << 20}}},
			}})
			b := s.Bundle(name)
			before := n.take(t)
			rest := filepath.Join(machine.Dir(), "rest")
			fill := func(int64) {
				disk, err := system.Usage(machine.Dir())
				must(t, err)
				must(t, os.WriteFile(rest, make([]byte, max(disk.Free-(4<<20), 0)), 0o600))
			}
			_, err := n.Load(t.Context(), b, LoadOptions{OnStart: fill})
			if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, archive.ErrDamaged) {
				t.Errorf("error: %v, want one about the disk", err)
			}
			must(t, os.Remove(rest))
			n.take(t).same(t, before)
			load(t, n, b, LoadOptions{})
		})
	}
}

// TestFullDiskWithoutStatusCode checks the error for a full disk, for which containerd has no
// status code.
func TestFullDiskWithoutStatusCode(t *testing.T) {
	t.Parallel()
	machine, n := connect(t, nodetest.Options{Dir: smallDisk(t, 32<<20)})
	s := newShelf(t)
	name := s.Image("acme/large", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 6 << 20}}}}})
	b := s.Bundle(name)
	tx, ctx, err := n.begin(n.namespaced(t), b.Digest())
	must(t, err)
	disk, err := system.Usage(machine.Dir())
	must(t, err)
	rest := filepath.Join(machine.Dir(), "rest")
	must(t, os.WriteFile(rest, make([]byte, disk.Free-(2<<20)), 0o600))
	l := n.newLoader(b, LoadOptions{})
	_, err = l.ingest(ctx, &blobWork{desc: s.manifest(name).Layers[0]})
	var short *DiskFullError
	if !errors.As(err, &short) || short.Path != n.contentRoot || short.Need <= short.Free {
		t.Errorf("error: %v, want a DiskFullError about %s", err, n.contentRoot)
	}
	must(t, os.Remove(rest))
	must(t, tx.end(ctx))
	// With enough space the error is another one and stays as it is.
	odd := errors.New("odd")
	disk, err = system.Usage(machine.Dir())
	must(t, err)
	for _, tt := range []struct {
		need int64
		same bool
	}{{0, true}, {disk.Free - 1<<20, true}, {disk.Free + 1<<20, false}} {
		if got := n.asNoSpace(odd, machine.Dir(), tt.need); (got == odd) != tt.same || !errors.Is(got, odd) {
			t.Errorf("%d needed of %d: %v", tt.need, disk.Free, got)
		}
	}
}

// TestTooSmallDiskRefusedFirst checks that nothing is written to a disk that is too small.
func TestTooSmallDiskRefusedFirst(t *testing.T) {
	t.Parallel()
	_, n := connect(t, nodetest.Options{Dir: smallDisk(t, 24<<20)})
	s := newShelf(t)
	name := s.Image("acme/large", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 30 << 20}}}}})
	before := n.take(t)
	_, err := n.Load(t.Context(), s.Bundle(name), LoadOptions{})
	var short *DiskFullError
	if !errors.As(err, &short) || short.Need <= short.Free || !strings.Contains(err.Error(), n.snapshotter.root) {
		t.Errorf("error: %v, want a DiskFullError", err)
	}
	n.take(t).same(t, before)
}

func TestNearlyFullDiskWarns(t *testing.T) {
	_, n := connect(t, nodetest.Options{Dir: smallDisk(t, 80<<20)})
	s := newShelf(t)
	name := s.Image("acme/large", "v1", registrytest.Image{Layers: []*registrytest.Layer{{Seed: 1, Files: []registrytest.File{{Name: "a", Size: 1 << 20}}}}})
	disk, err := system.Usage(n.snapshotter.root)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(n.contentRoot, "rest"), make([]byte, disk.Free-(11<<20)), 0o600))
	r := load(t, n, s.Bundle(name, s.Sandbox()), LoadOptions{})
	if d := cmp.Diff([]Kind{WarnDisk}, kinds(r.Warnings)); d != "" {
		t.Errorf("warnings (-want +got):\n%s", d)
	}
}
