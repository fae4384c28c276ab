package writer

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"stowage/pkg/archive"
	"stowage/pkg/archive/internal/archivetest"
)

// TestFileSystems: a bundle has the same bytes on tmpfs as on a disk, at once or after a
// kill, plain or compressed.
func TestFileSystems(t *testing.T) {
	disk, memory := t.TempDir(), memoryDir(t)
	if fsType(t, disk) == unix.TMPFS_MAGIC {
		t.Skipf("%s is tmpfs too; set TMPDIR to a directory on a disk", disk)
	}
	s := mixed()
	for _, file := range []string{"x.tar", "x.tar.zst", "x.tar.gz"} {
		sums := map[digest.Digest]bool{}
		for _, dir := range []string{disk, memory} {
			for _, resume := range []bool{false, true} {
				path := filepath.Join(dir, file)
				d := s.start(t, path)
				if resume {
					if err := s.write(d, d.Missing()[2].Digest, 10_000); err != nil {
						t.Fatal(err)
					}
					kill(d)
					d = s.resumed(t, path)
				}
				if err := errors.Join(s.fill(d, 2, 100_000), d.CommitAs(t.Context(), archive.CompressionOf(path), nil)); err != nil {
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

// memoryDir returns a directory on tmpfs.
func memoryDir(t *testing.T) string {
	t.Helper()
	if fsType(t, "/dev/shm") != unix.TMPFS_MAGIC {
		return archivetest.TinyDisk(t, 64<<10)
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

// TestCompressedFillsDisk: when there is no room for the compressed file beside the plain
// one, the file stays, and goes on when there is.
func TestCompressedFillsDisk(t *testing.T) {
	s, _ := big(3 << 20)
	want := fileDigest(t, s.bundleAs(t, archive.Zstd))
	dir := archivetest.TinyDisk(t, 4096)
	path := filepath.Join(dir, "x.tar.zst")
	d := s.start(t, path)
	if err := s.fill(d, 1, 1<<20); err != nil {
		t.Fatal(err)
	}
	var se *archive.SpaceError
	if err := d.CommitAs(t.Context(), archive.Zstd, nil); !errors.As(err, &se) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if err := unix.Mount("", dir, "tmpfs", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	if err := d.CommitAs(t.Context(), archive.Zstd, nil); err != nil {
		t.Fatal(err)
	}
	if got := fileDigest(t, path); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
