package archive

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"stowage/internal/fsutil"
)

// TestFileSystems: a bundle has the same bytes on tmpfs as on a disk, at once or after a
// kill, plain or compressed.
func TestFileSystems(t *testing.T) {
	disk, memory := t.TempDir(), memoryDir(t)
	if fsType(t, disk) == unix.TMPFS_MAGIC {
		t.Skipf("%s is tmpfs too; set TMPDIR to a folder on a disk", disk)
	}
	s := mixed()
	for _, file := range []string{"x.tar", "x.tar.zst", "x.tar.gz"} {
		sums := map[digest.Digest]bool{}
		for _, dir := range []string{disk, memory} {
			for _, resume := range []bool{false, true} {
				path := filepath.Join(dir, file)
				d := s.begin(t, path, PlanOptions{})
				if resume {
					if err := s.write(d, d.Missing()[2].Digest, 10_000); err != nil {
						t.Fatal(err)
					}
					kill(d)
					d = s.resumed(t, path)
				}
				if err := errors.Join(s.fill(d, 2, 100_000), d.CommitAs(t.Context(), CompressionOf(path), nil)); err != nil {
					t.Fatal(err)
				}
				sums[fileDigest(t, path)] = true
			}
		}
		if len(sums) != 1 {
			t.Errorf("%s: %v on file systems of type %#x and %#x", file, sums, fsType(t, disk), fsType(t, memory))
		}
	}
}

// memoryDir gives a folder on tmpfs.
func memoryDir(t *testing.T) string {
	t.Helper()
	if fsType(t, "/dev/shm") != unix.TMPFS_MAGIC {
		return tinyDisk(t, 64<<10)
	}
	return fastDir(t)
}

func fsType(t *testing.T, dir string) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0
	}
	return int64(st.Type)
}

// TestSpoolSpace: what does not fit into the temporary folder is refused before a byte of
// it is written, or stops short of filling it when its size was not known.
func TestSpoolSpace(t *testing.T) {
	s := newStore()
	zeros := make([]byte, 4<<20) // compresses to nothing, as a bomb does
	s.name("a.test/a:1", s.manifest(amd64, s.put("application/vnd.oci.image.layer.v1.tar", zeros)))
	ours := s.bundle(t, PlanOptions{})
	m := s.images[0].Target
	foreign := pack(s.layoutOf("", annotated(m, byContainerd, "a.test/a:1"))...)
	dir := tinyDisk(t, 2048)
	t.Setenv("TMPDIR", dir)
	for _, tc := range []struct {
		name string
		path string
		need int64
	}{
		{"ours", s.bundleOutside(t, Zstd, ours), int64(len(ours))},
		{"another program's", s.bundleOutside(t, Gzip, foreign), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Open(tc.path)
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
	r, err := OpenHead(s.bundleOutside(t, Zstd, ours))
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

// TestCompressedFillsDisk: when there is no room for the compressed file beside the plain
// one, the draft stays, and goes on when there is.
func TestCompressedFillsDisk(t *testing.T) {
	s, _ := big(3 << 20)
	want := fileDigest(t, s.bundleAs(t, Zstd, PlanOptions{}))
	dir := tinyDisk(t, 4096)
	path := filepath.Join(dir, "x.tar.zst")
	d := s.begin(t, path, PlanOptions{})
	if err := s.fill(d, 1, 1<<20); err != nil {
		t.Fatal(err)
	}
	var se *SpaceError
	if err := d.CommitAs(t.Context(), Zstd, nil); !errors.As(err, &se) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if err := unix.Mount("", dir, "tmpfs", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if err := d.CommitAs(t.Context(), Zstd, nil); err != nil {
		t.Fatal(err)
	}
	if got := fileDigest(t, path); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
