package writer

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"stowage/internal/fsutil"
	"stowage/pkg/archive"
	"stowage/pkg/archive/internal/archivetest"
)

// TestFullDisk: too little space shows before a byte of a blob is asked for, the
// manifests stay, and with more space the same file goes on.
func TestFullDisk(t *testing.T) {
	s, _ := big(3 << 20)
	dir := archivetest.TinyDisk(t, 2048)
	path := filepath.Join(dir, "x.tar")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, raw := range s.Blobs {
		if len(raw) < 5000 {
			if _, err := d.AddMetadata(raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	p, err := archive.NewPlan(s.images, d, archive.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Start(t.Context(), p, nil)
	var se *archive.SpaceError
	if !errors.As(err, &se) {
		t.Fatalf("got %v", err)
	}
	if se.Path != dir || se.Need > p.Size() || se.Need < p.Size()-8192 || se.Free <= 0 || se.Free > 2<<20 {
		t.Errorf("%+v for a plan of %d bytes", se, p.Size())
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := unix.Mount("", dir, "tmpfs", unix.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	s.finish(t, s.resumed(t, path), path)
}

// TestDiskFillsUp: where space cannot be reserved, it runs out in the midst of writing.
// What is there stays, and the run goes on when there is space again.
func TestDiskFillsUp(t *testing.T) {
	s, dg := big(3 << 20)
	dir := archivetest.TinyDisk(t, 8192)
	path := filepath.Join(dir, "x.tar")
	d := s.start(t, path)
	// As on a file system without fallocate: the space is not reserved.
	fsutil.Punch(d.file, 0, d.plan.Size())
	b := &start{to: d, plan: d.plan}
	if err := errors.Join(b.writeFrame(), b.writeMetadata()); err != nil {
		t.Fatal(err)
	}
	hog := filepath.Join(dir, "hog")
	if err := os.WriteFile(hog, make([]byte, 7<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	err := s.write(d, dg, 100_000)
	var se *archive.SpaceError
	if !errors.As(err, &se) || !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("got %v", err)
	}
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	w, err := d.Blob(dg)
	if err != nil {
		t.Fatal(err)
	}
	if w.Prefix() == 0 {
		t.Error("nothing was kept")
	}
	w.Close()
	s.finish(t, d, path)
}

// TestFullJournal: a manifest that does not fit is refused; the journal stays intact.
func TestFullJournal(t *testing.T) {
	dir := archivetest.TinyDisk(t, 256)
	path := filepath.Join(dir, "x.tar")
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	small, large := archivetest.Noise(1, 1000), archivetest.Noise(2, 1<<20)
	first, err := d.AddMetadata(small)
	if err != nil {
		t.Fatal(err)
	}
	var se *archive.SpaceError
	if _, err := d.AddMetadata(large); !errors.As(err, &se) {
		t.Fatalf("got %v", err)
	}
	second, err := d.AddMetadata(archivetest.Noise(3, 1000))
	if err != nil {
		t.Fatal(err)
	}
	kill(d)
	if d, err = Open(path); err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for _, dg := range []string{string(first), string(second)} {
		if _, err := d.Metadata(first); err != nil {
			t.Errorf("%s: %v", dg, err)
		}
	}
}

// TestCarryNeedsLittleSpace: moving all blobs needs room for one of them, not for all,
// because what was copied is given back.
func TestCarryNeedsLittleSpace(t *testing.T) {
	s := newStore()
	var layers []string
	for i := range 10 {
		l := s.Layer(uint64(i), 512<<10)
		s.name(fmt.Sprintf("b.test/b:%d", i), s.Manifest(amd64, l))
		layers = append(layers, string(l.Digest))
	}
	dir := archivetest.TinyDisk(t, 8<<10) // the bundle takes a little over 5 MiB
	path := filepath.Join(dir, "x.tar")
	d := s.start(t, path)
	if err := s.fill(d, 1, 1<<20); err != nil {
		t.Fatal(err)
	}
	kill(d)
	s.name("a.test/a:1", s.Manifest(amd64, s.Layer(100, 1000)))
	d = s.start(t, path)
	if n := len(d.Missing()); n != 2 {
		t.Errorf("%d of %d blobs are missing after the move", n, len(layers))
	}
	s.finish(t, d, path)
}
