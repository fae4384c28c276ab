//go:build linux

package node

import (
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/node/internal/system"
)

// TestSparseFileLargerThanDisk checks that only the free space limits a sparse file.
func TestSparseFileLargerThanDisk(t *testing.T) {
	t.Parallel()
	_, n := connect(t)
	before := n.take(t)
	const beyond = 15 << 40 // ext4 ends at 16 TiB
	path := handmade{layers: [][]byte{thinLayer(t, beyond)}}.write(t)
	for _, way := range ways {
		m := *n
		if way.set(&m); !m.local {
			continue // the free space is not visible there
		}
		t.Run(way.name, func(t *testing.T) {
			var short *DiskFullError
			_, err := m.Load(t.Context(), bundletest.Open(t, path), LoadOptions{})
			if !errors.As(err, &short) || short.Need < beyond || short.Free >= beyond {
				t.Errorf("error: %v, want a DiskFullError for 15 TiB", err)
			}
			n.take(t).same(t, before)
		})
	}
}

// TestSparseFileOver8GiB unpacks a file whose size exceeds the eleven octal digits of a tar
// header, from a layer of 1 KiB, as containerd's import does. Both write the zeros.
func TestSparseFileOver8GiB(t *testing.T) {
	if need.Race || testing.Short() {
		t.Skip("17 GiB are written: once, without the race detector, is enough")
	}
	const size = 8<<30 + 512
	dir := nodetest.Options{Dir: "/var/tmp"}
	if disk, err := system.Usage(dir.Dir); err != nil || disk.Free < 3*size {
		t.Skipf("%d bytes free below %s, want %d: %v", disk.Free, dir.Dir, int64(3*size), err)
	}
	path := handmade{layers: [][]byte{thinLayer(t, size)}}.write(t)
	b := bundletest.Open(t, path)
	trees := map[string]any{}
	for _, way := range []string{"import", "load"} {
		machine, n := connect(t, dir)
		s, err := selectImages(b, n.server.Platform)
		must(t, err)
		if way == "load" {
			_, err = n.Load(t.Context(), b, LoadOptions{})
		} else {
			_, err = machine.Ctr("images", "import", path)
		}
		must(t, err)
		if got := largest(t, filepath.Join(machine.Root(), "io.containerd.snapshotter.v1.overlayfs")); got != size {
			t.Errorf("%s: a file of %d bytes, want %d", way, got, int64(size))
		}
		trees[way] = n.tree(t, s.images[0].top())
		must(t, machine.Stop()) // before the other one needs the space
	}
	if d := cmp.Diff(trees["import"], trees["load"]); d != "" {
		t.Errorf("root file system (-import +load):\n%s", d)
	}
}

// largest returns the size of the largest file below a directory, in bytes.
func largest(t *testing.T, root string) int64 {
	t.Helper()
	size := int64(math.MinInt64)
	must(t, filepath.WalkDir(root, func(_ string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size = max(size, info.Size())
		}
		return err
	}))
	return size
}

// thinLayer returns a layer with one file of size bytes that is one hole, as GNU tar writes it.
func thinLayer(t *testing.T, size int64) []byte {
	t.Helper()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "thin"), nil, 0o644))
	must(t, os.Truncate(filepath.Join(dir, "thin"), size))
	layer := filepath.Join(dir, "layer.tar")
	out, err := exec.CommandContext(t.Context(), "tar", "--format=posix", "--sparse", "-C", dir, "-cf", layer, "thin").CombinedOutput()
	if err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
	return contentOf(t, layer)
}
