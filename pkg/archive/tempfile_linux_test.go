package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"stowage/internal/fsutil"
	"stowage/pkg/archive/internal/archivetest"
)

// TestTempFileSpace: what does not fit into the temporary directory is refused before it is
// written, or before it fills the disk when its size was unknown.
func TestTempFileSpace(t *testing.T) {
	s := newStore()
	zeros := make([]byte, 4<<20) // compresses to nothing, as a bomb does
	s.name("a.test/a:1", s.Manifest(amd64, s.Put("application/vnd.oci.image.layer.v1.tar", zeros)))
	native := s.bundle(t, PlanOptions{})
	m := s.images[0].Target
	other := pack(s.layoutOf("", annotated(m, byContainerd, "a.test/a:1"))...)
	dir := archivetest.TinyDisk(t, 2048)
	t.Setenv("TMPDIR", dir)
	for _, tc := range []struct {
		name string
		path string
		need int64
	}{
		{"native", s.bundleOutside(t, Zstd, native), int64(len(native))},
		{"another program's", s.bundleOutside(t, Gzip, other), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Open(t.Context(), tc.path, nil)
			var se *SpaceError
			if !errors.As(err, &se) || errors.Is(err, ErrDamaged) {
				t.Fatalf("got %v", err)
			}
			if se.Path != dir || se.Free <= 1<<20 || se.Free > 19<<17 || se.Need <= se.Free || (tc.need > 0 && se.Need != tc.need) {
				t.Errorf("%+v", se)
			}
			if free, _ := fsutil.Free(dir); free < 2<<20-64<<10 {
				t.Errorf("%d bytes are free afterwards", free)
			}
			t.Log(err)
		})
	}
	r, err := openMetadata(s.bundleOutside(t, Zstd, native))
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

// bundleOutside writes a compressed file that is not in TMPDIR.
func (s *store) bundleOutside(t *testing.T, c Compression, raw []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, packed(t, c, raw), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
