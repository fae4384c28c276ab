//go:build linux

package e2e

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestCopySparse checks copies of files with and without holes: equal bytes, no space for
// holes.
func TestCopySparse(t *testing.T) {
	const block = 1 << 16
	for _, row := range []struct {
		name string
		size int64
		data []int64 // numbers of the written blocks
	}{
		{"empty", 0, nil},
		{"hole alone", 64 * block, nil},
		{"data alone", 2 * block, []int64{0, 1}},
		{"data first", 64 * block, []int64{0}},
		{"data last", 64 * block, []int64{63}},
		{"data within", 64 * block, []int64{3, 4, 40}},
		{"no whole block", 3*block + 1, []int64{1}},
	} {
		t.Run(row.name, func(t *testing.T) {
			from, to := filepath.Join(t.TempDir(), "from"), filepath.Join(t.TempDir(), "to")
			f, err := os.Create(from)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := f.Truncate(row.size); err != nil {
				t.Fatal(err)
			}
			for _, i := range row.data {
				if _, err := f.WriteAt(bytes.Repeat([]byte{byte(i + 1)}, block), i*block); err != nil {
					t.Fatal(err)
				}
			}
			if err := copySparse(from, to); err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(from)
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(to)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the copy has %d bytes and differs from the %d of the original", len(got), len(want))
			}
			if space := allocated(t, to); space > int64(len(row.data)+1)*block {
				t.Errorf("the copy takes %d bytes, data are %d blocks of %d", space, len(row.data), block)
			}
		})
	}
}

// allocated returns the space of a file on its disk.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Blocks * 512 // stat(2): the unit on every file system
}
