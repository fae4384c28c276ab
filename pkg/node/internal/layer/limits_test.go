package layer

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"stowage/internal/fsutil"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/node/internal/disk"
)

func TestLimits(t *testing.T) {
	const size = 10 << 20
	statement := binary.LittleEndian.AppendUint32(bundletest.Gzip(t, nil)[:10], math.MaxUint32)
	for _, tt := range []struct {
		name string
		blob []byte
		max  int64 // of the tar stream
	}{
		{"plain", noise(size), maxRatio * size},
		{"gzip that states 4 GiB", statement, smallLayer},
		{"small", noise(1000), smallLayer},
	} {
		if l := newLimits(bytes.NewReader(tt.blob), nil); l.tar.max != tt.max || l.files.max != tt.max {
			t.Errorf("%s: %+v, want %d", tt.name, l, tt.max)
		}
	}
	if got := saturated(math.MaxInt64/2, 3); got != math.MaxInt64 {
		t.Errorf("a product that overflows: %d", got)
	}
}

// TestLimitErrors checks when a layer is at fault, and when the disk is.
func TestLimitErrors(t *testing.T) {
	const mib = 1 << 20
	full := &disk.FullError{}
	for _, tt := range []struct {
		out, onDisk, stated, read int64
		full                      bool
		damaged                   bool
	}{
		{out: 501 * mib, stated: -1, read: 501 * mib, full: true},
		{out: 501 * mib, stated: -1, read: mib, full: true, damaged: true},
		{out: 501 * mib, stated: 600 * mib, read: mib, full: true},
		{out: mib, onDisk: 501 * mib, stated: -1, read: mib, full: true, damaged: true},
		{out: mib, stated: -1, read: 4, full: true},
		{out: 2001 * mib, stated: -1, read: 100 * mib, damaged: true},
	} {
		l := &limits{stated: tt.stated, onDisk: tt.onDisk, tar: counter{n: tt.out, max: 2000 * mib}}
		if tt.full {
			l.full = full
		}
		err := l.err(tt.read)
		if errors.Is(err, archive.ErrDamaged) != tt.damaged || !tt.damaged && err != full {
			t.Errorf("%+v: %v", tt, err)
		}
		var size *SizeError
		if errors.As(err, &size) && (size.Err != nil) != tt.full {
			t.Errorf("%+v: the error has %v", tt, size.Err)
		}
	}
}

// budget returns that of a file system with free bytes and inodes, blocks of 4 KiB and
// practically no reserve.
func budget(t *testing.T, free, inodes int64) *disk.Budget {
	t.Helper()
	b, err := disk.New("/x", func() (fsutil.Usage, error) {
		return fsutil.Usage{Size: 1, Free: free, Block: 4096, Inodes: 1, Unused: inodes}, nil
	})
	must(t, err)
	return b
}

// TestEntryCosts checks what one entry takes of a budget.
func TestEntryCosts(t *testing.T) {
	const block, name = 4096, nameBytes
	long := strings.Repeat("x", shortLink+1)
	sparse := map[string]string{"GNU.sparse.map": "0,0"}
	for _, tt := range []struct {
		name   string
		h      tar.Header
		bytes  int64 // with those of its inodes
		inodes int64
	}{
		{"empty file", tar.Header{Name: "a", Typeflag: tar.TypeReg}, name, 1},
		{"file of a byte", tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 1}, name + block, 1},
		{"file of two blocks", tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 2 * block}, name + 2*block, 1},
		{"sparse file", tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: 10 * block, PAXRecords: sparse}, name + 10*block, 1},
		{"long name", tar.Header{Name: strings.Repeat("a", 255), Typeflag: tar.TypeReg}, 16 * name, 1},
		{"directory", tar.Header{Name: "a/", Typeflag: tar.TypeDir}, name + block, 1},
		{"directories that are not listed", tar.Header{Name: "a/b/c/d", Typeflag: tar.TypeReg}, name + 3*block, 4},
		{"out of the root", tar.Header{Name: "../../a", Typeflag: tar.TypeReg}, name, 1},
		{"hard link", tar.Header{Name: "a", Typeflag: tar.TypeLink, Linkname: long}, name, 0},
		{"symbolic link", tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: long[1:]}, name, 1},
		{"long symbolic link", tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: long}, name + block, 1},
		{"device", tar.Header{Name: "a", Typeflag: tar.TypeChar}, name, 1},
		{"attributes", tar.Header{Name: "a", Typeflag: tar.TypeReg, PAXRecords: map[string]string{"SCHILY.xattr.user.a": "b", "path": "x"}}, name + block, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLimits(bytes.NewReader(nil), budget(t, 1<<30, 1000))
			must(t, l.file(&tt.h))
			if want := (disk.Cost{Bytes: tt.bytes + tt.inodes*inodeBytes, Inodes: tt.inodes}); l.drawn != want {
				t.Errorf("drawn %+v, want %+v", l.drawn, want)
			}
		})
	}
}

// TestKnownDirs counts directories once, as long as they are remembered.
func TestKnownDirs(t *testing.T) {
	var k knownDirs
	for _, tt := range []struct {
		dir  string
		want int64
	}{{".", 0}, {"/", 0}, {"a/b", 2}, {"a/b", 0}, {"a/c", 1}, {"./a//c/", 0}, {"b", 1}, {strings.Repeat("a/", maxPath), 0}} {
		if got := k.add(tt.dir); got != tt.want {
			t.Errorf("%.20q: %d, want %d", tt.dir, got, tt.want)
		}
	}
	for i := range 3 * maxKnown {
		k.add(strconv.Itoa(i))
	}
	if len(k.seen) > maxKnown || k.add("a/b") != 2 {
		t.Errorf("%d directories are remembered", len(k.seen))
	}
}

// TestFileLimits counts regular files by their headers, up to one byte too many.
func TestFileLimits(t *testing.T) {
	l := &limits{files: counter{max: 10}}
	for i, size := range []int64{0, 9, 1, 1} {
		h := &tar.Header{Typeflag: tar.TypeReg, Size: size}
		if err := l.file(h); (err != nil) != (i == 3) {
			t.Errorf("file %d: %v", i, err)
		}
	}
	if !l.exceeded() {
		t.Error("not exceeded")
	}
	l = &limits{files: counter{max: 10}}
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeReg, Size: 100, PAXRecords: map[string]string{"GNU.sparse.major": "1"}},
		{Typeflag: tar.TypeDir, Size: 1 << 40},
	} {
		if err := l.file(h); err != nil || l.exceeded() {
			t.Errorf("%+v: %v", h, err)
		}
	}
	c := counter{max: 5}
	for range 2 {
		if c.add(math.MaxInt64) {
			t.Error("a huge file is within the limit, or the sum of two")
		}
	}
	if err := l.file(&tar.Header{Typeflag: tar.TypeGNUSparse}); err == nil {
		t.Error("old GNU format: no error")
	}
}

func TestStreamLimit(t *testing.T) {
	for _, tt := range []struct {
		parts []int
		limit int64
		fits  bool
	}{{nil, 0, true}, {[]int{99}, 100, true}, {[]int{50, 0, 50}, 100, true}, {[]int{100, 1}, 100, false}, {[]int{101}, 100, false}} {
		l := &limits{tar: counter{max: tt.limit}}
		var err error
		for _, n := range tt.parts {
			err = l.part(n)
		}
		if (err == nil) != tt.fits || l.exceeded() == tt.fits {
			t.Errorf("parts of %d bytes, limit %d: %v", tt.parts, tt.limit, err)
		}
	}
}

// TestManyEntries checks that extraction ends when it would remember too many names.
func TestManyEntries(t *testing.T) {
	l := newLimits(bytes.NewReader(nil), nil)
	l.memory = NewMemory(100 * 2 * (pathMemory + headerMemory))
	l.root = 10
	h := &tar.Header{Name: "dir", Typeflag: tar.TypeDir}
	n := 0
	for ; n < 1000; n++ {
		if err := l.file(h); err != nil {
			if !errors.Is(err, ErrMemory) {
				t.Errorf("error %v", err)
			}
			break
		}
	}
	if n < 90 || n >= 100 {
		t.Errorf("%d directories fit", n)
	}
	l.memory.release(l.names)
	if l.memory.free != l.memory.total {
		t.Errorf("%d of %d bytes were returned", l.memory.free, l.memory.total)
	}
}
