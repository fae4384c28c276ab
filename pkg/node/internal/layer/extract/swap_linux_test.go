package extract

import (
	"archive/tar"
	"os"
	"path/filepath"
	"testing"

	"stowage/internal/need"
)

// TestSwappedDirectory replaces a directory by a link to another one between two entries,
// as another process could. Nothing may be written behind the link.
func TestSwappedDirectory(t *testing.T) {
	need.Root(t, "set the owners of files")
	base := t.TempDir()
	root, outside := filepath.Join(base, "root"), filepath.Join(base, "outside")
	must(t, os.Mkdir(root, 0o755))
	must(t, os.Mkdir(outside, 0o700))
	raw := tarOf(directory("d"), file("d/first", "1"), file("d/second", "2"), directory("d/sub").owned(1, 1, 0o1777),
		symlink("d/l", "x"), link("d/h", "d/second"), file("d/.wh.gone", ""), file("d/.wh..wh..opq", ""))
	w, err := newWriter(&stream{src: newParts(raw, 512)}, &Target{Dir: root, Overlay: true})
	must(t, err)
	defer w.close()
	_, err = w.entries(t.Context(), func(h *tar.Header) error {
		if h.Name != "d/second" {
			return nil
		}
		must(t, os.Rename(filepath.Join(root, "d"), filepath.Join(root, "moved")))
		return os.Symlink(outside, filepath.Join(root, "d"))
	})
	must(t, err)
	must(t, w.setTimes())
	if len(readDir(t, outside)) != 0 {
		t.Errorf("written outside: %s", treeOf(t, outside))
	}
	if got := readDir(t, filepath.Join(root, "moved")); len(got) != 6 {
		t.Errorf("in the directory: %v", got)
	}
}

func readDir(t *testing.T, dir string) []os.DirEntry {
	t.Helper()
	all, err := os.ReadDir(dir)
	must(t, err)
	return all
}
