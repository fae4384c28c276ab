package extract

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stowage/internal/need"
)

// stack is layers on top of each other, the lowest one first.
type stack struct {
	layers          [][]entry
	shown, notShown []string // names in their overlay
}

var stacks = map[string]stack{
	"whiteouts": {
		[][]entry{
			{directory("a"), file("a/kept", "1"), file("a/gone", "2"), directory("a/d"), file("a/d/x", "3"), file("top", "4"), symlink("l", "a")},
			{directory("a").owned(1, 2, 0o2750), file("a/.wh.gone", ""), file("a/.wh.d", ""), file(".wh.top", ""), file(".wh.l", "")},
			{directory("a"), directory("a/d"), file("a/d/y", "5"), file("top", "6")},
		},
		[]string{"a/kept", "a/d/y", "top"}, []string{"a/gone", "a/d/x", "l"},
	},
	"opaque": {
		[][]entry{
			{directory("a"), file("a/x", "1"), directory("a/b"), file("a/b/y", "2"), directory("k"), file("k/x", "3")},
			{directory("a").owned(0, 0, 0o1777), file("a/.wh..wh..opq", ""), directory("a/b"), file("a/b/z", "4"), directory("k"), file("k/new", "")},
		},
		[]string{"a/b/z", "k/x", "k/new"}, []string{"a/x", "a/b/y"},
	},
	"replaced": {
		[][]entry{
			{directory("d"), file("d/x", "1"), symlink("s", "d"), file("f", "2").owned(3, 4, 0o4755), directory("lib"), file("lib/l", "")},
			{file("d", "now a file"), directory("s"), file("s/y", "3"), directory("f").attributes("user.a", "b"), directory("usr"), symlink("lib", "usr")},
			{directory("d"), file("s2", "4"), link("copy", "s2")},
		},
		[]string{"d", "s/y", "f", "lib"}, []string{"d/x", "lib/l"},
	},
	"not listed": {
		[][]entry{
			{directory("tmp").owned(0, 0, 0o1777), directory("p").owned(7, 8, 0o700).attributes("user.a", "b"), directory("p/q"), file("p/q/x", "1")},
			{file("tmp/x", "1"), file("p/q/y", "2"), file("p/new/z", "3"), file("p/q/.wh.x", "")},
		},
		[]string{"tmp/x", "p/q/y", "p/new/z"}, []string{"p/q/x"},
	},
}

// TestThroughOverlay compares what overlayfs shows of layers that Layer wrote, with and
// without those below, and of layers that containerd wrote.
func TestThroughOverlay(t *testing.T) {
	need.Root(t, "mount overlayfs")
	for name, s := range stacks {
		t.Run(name, func(t *testing.T) {
			want := mounted(t, s.write(t, reference, false))
			for _, name := range s.shown {
				if !strings.Contains(want, "\n"+name+" ") {
					t.Errorf("the overlay lacks %s", name)
				}
			}
			for _, name := range s.notShown {
				if strings.Contains(want, "\n"+name+" ") {
					t.Errorf("the overlay has %s", name)
				}
			}
			for _, detached := range []bool{false, true} {
				got := mounted(t, s.write(t, Layer, detached))
				if d := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); d != "" {
					t.Errorf("detached %t: tree differs from containerd's (-):\n%s", detached, d)
				}
			}
		})
	}
}

// write writes the layers and returns their directories, the uppermost first. detached says
// to write each one without those below, if possible.
func (s stack) write(t *testing.T, layer layerFunc, detached bool) (dirs []string) {
	t.Helper()
	base := t.TempDir()
	for i, entries := range s.layers {
		target := Target{Dir: filepath.Join(base, fmt.Sprint(i)), Overlay: true, Lower: dirs}
		if detached {
			target.Lower, target.Detached = nil, true
		}
		must(t, os.Mkdir(target.Dir, 0o755))
		err := layer(t.Context(), newParts(tarOf(entries...), 4096), &target, all)
		if errors.Is(err, ErrNeedsParent) {
			must(t, os.RemoveAll(target.Dir))
			must(t, os.Mkdir(target.Dir, 0o755))
			target.Lower, target.Detached = dirs, false
			err = layer(t.Context(), newParts(tarOf(entries...), 4096), &target, all)
		}
		must(t, err)
		dirs = slices.Insert(slices.Clone(dirs), 0, target.Dir)
	}
	return dirs
}

// mounted returns the tree that an overlay of directories shows.
func mounted(t *testing.T, dirs []string) string {
	t.Helper()
	at := t.TempDir()
	if err := unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(dirs, ":")); err != nil {
		need.Missing(t, "overlayfs is not available: ", err)
	}
	defer unix.Unmount(at, unix.MNT_DETACH)
	return treeOf(t, at)
}
