package extract

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// treeOf returns a line for each file below dir, with all that a layer says of it.
func treeOf(t testing.TB, dir string) string {
	t.Helper()
	var tree strings.Builder
	first := map[uint64]string{}
	must(t, filepath.WalkDir(dir, func(file string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		must(t, unix.Lstat(file, &st))
		name, err := filepath.Rel(dir, file)
		must(t, err)
		fmt.Fprintf(&tree, "%s mode=%o owner=%d:%d device=%x mtime=%s", name, st.Mode, st.Uid, st.Gid, st.Rdev, seconds(st.Mtim))
		kind := st.Mode & unix.S_IFMT
		if kind != unix.S_IFDIR && st.Nlink > 1 {
			if first[st.Ino] == "" {
				first[st.Ino] = name
			}
			fmt.Fprintf(&tree, " same=%q", first[st.Ino])
		}
		// Looking at links and directories changes their time of access.
		if kind != unix.S_IFDIR && kind != unix.S_IFLNK {
			fmt.Fprintf(&tree, " atime=%s", seconds(st.Atim))
		}
		switch kind {
		case unix.S_IFLNK:
			to, err := os.Readlink(file)
			must(t, err)
			fmt.Fprintf(&tree, " to=%q", to)
		case unix.S_IFREG:
			b, err := os.ReadFile(file)
			must(t, err)
			fmt.Fprintf(&tree, " size=%d sum=%x", len(b), sha256.Sum256(b))
		}
		fmt.Fprintln(&tree, attributesOf(t, file))
		return nil
	}))
	return tree.String()
}

// seconds returns a time, or the same text for all those of this test run.
func seconds(ts unix.Timespec) string {
	if time.Since(time.Unix(ts.Unix())).Abs() < time.Hour {
		return "now"
	}
	return fmt.Sprintf("%d.%09d", ts.Sec, ts.Nsec)
}

// attributesOf returns the extended attributes of a file.
func attributesOf(t testing.TB, file string) (all string) {
	t.Helper()
	names := make([]byte, 64<<10)
	n, err := unix.Llistxattr(file, names)
	if err == unix.ENOTSUP {
		return ""
	}
	must(t, err)
	keys := strings.Split(string(names[:n]), "\x00")
	slices.Sort(keys)
	for _, key := range keys {
		if key != "" {
			value := make([]byte, 64<<10)
			n, err := unix.Lgetxattr(file, key, value)
			must(t, err)
			all += fmt.Sprintf(" %s=%q", key, value[:n])
		}
	}
	return all
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
