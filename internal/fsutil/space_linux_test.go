package fsutil

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestStat(t *testing.T) {
	dir := t.TempDir()
	u, err := Stat(dir)
	if err != nil || u.Device == 0 || u.Free <= 0 || u.Size < u.Free || u.Block <= 0 || u.Unused > u.Inodes || u.Used < 0 || u.Used > 100 {
		t.Errorf("Stat = %+v, %v", u, err)
	}
	if free, known := Free(dir); !known || free <= 0 {
		t.Errorf("Free = %d, %v", free, known)
	}
	if _, err := Stat(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing path: %v", err)
	}
	if _, known := Free("/proc"); known {
		t.Error("/proc has free space")
	}
}

func TestReserveAndPunch(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 1 << 20
	if err := Reserve(f, size); err != nil {
		t.Fatal(err)
	}
	if info, err := f.Stat(); err != nil || info.Size() != size {
		t.Errorf("%v, %v", info, err)
	}
	reserved := Allocated(f)
	Punch(f, 0, size)
	if left := Allocated(f); left > reserved {
		t.Errorf("%d bytes allocated after a punch, %d before", left, reserved)
	}
	if info, err := f.Stat(); err != nil || info.Size() != size {
		t.Errorf("after a punch: %v, %v", info, err)
	}
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	open := func() *os.File {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	first, second := open(), open()
	defer second.Close()
	if err := Lock(first); err != nil {
		t.Fatal(err)
	}
	if err := Lock(second); err != ErrLocked {
		t.Errorf("a second lock: %v", err)
	}
	first.Close()
	if err := Lock(second); err != nil {
		t.Errorf("after the first is closed: %v", err)
	}
}

func TestWritable(t *testing.T) {
	dir := t.TempDir()
	if err := Writable(dir); err != nil {
		t.Error(err)
	}
	if err := Writable(filepath.Join(dir, "missing")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
}
