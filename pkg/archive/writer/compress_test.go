package writer

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// fileDigest returns the sha256 of a file.
func fileDigest(t testing.TB, path string) digest.Digest {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d, err := digest.FromReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestCommitAsInterrupted: compressing ends with the context and can be begun again, by
// the same file or by a later run, which fetches nothing.
func TestCommitAsInterrupted(t *testing.T) {
	s := mixed()
	want := fileDigest(t, s.bundleAs(t, archive.Zstd))
	path := filepath.Join(t.TempDir(), "x.tar.zst")
	d := s.start(t, path)
	if err := d.CommitAs(t.Context(), archive.Zstd, nil); !errors.Is(err, ErrIncomplete) {
		t.Errorf("with blobs missing: %v", err)
	}
	if err := s.fill(d, 2, 100_000); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := d.CommitAs(ctx, archive.Zstd, func(int64) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := os.Stat(path + compressedSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was compressed stays: %v", err)
	}
	// As a kill in the midst of it leaves things.
	if err := os.WriteFile(path+compressedSuffix, []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	kill(d)
	d = s.resumed(t, path)
	if n := len(d.Missing()); n > 0 {
		t.Errorf("%d blobs are missing", n)
	}
	if _, err := os.Stat(path + compressedSuffix); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what a killed run had compressed takes space: %v", err)
	}
	var n int64
	if err := d.CommitAs(t.Context(), archive.Zstd, func(m int64) { n += m }); err != nil {
		t.Fatal(err)
	}
	if n != d.plan.Size() || fileDigest(t, path) != want {
		t.Errorf("reported %d of %d bytes; digest %s, want %s", n, d.plan.Size(), fileDigest(t, path), want)
	}
	if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := d.CommitAs(t.Context(), archive.Zstd, nil); err == nil {
		t.Error("a second time on a closed file")
	}
}

// TestCommitAsPlain: plain is what Commit writes, and an unknown way is refused.
func TestCommitAsPlain(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	if err := s.fill(d, 1, 1000); err != nil {
		t.Fatal(err)
	}
	if err := d.CommitAs(t.Context(), 9, nil); err == nil {
		t.Error("unknown compression")
	}
	if err := d.CommitAs(t.Context(), archive.Plain, nil); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, s.bundle(t)) {
		t.Errorf("other bytes: %v", err)
	}
}

// TestDiscard: all that a file has kept goes, and nothing else.
func TestDiscard(t *testing.T) {
	s := small()
	dir := t.TempDir()
	path := filepath.Join(dir, "x.tar")
	theirs := []string{"x.tar", "x.tar.partial.old", "x.tar.partial.1x", "y.tar.partial", "x.tar.gz"}
	ours := []string{"x.tar.partial.7", "x.tar.partial.packed"}
	d := s.start(t, path)
	for _, name := range append(theirs, ours...) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	w, err := d.Blob(d.Missing()[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Discard(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Close(), d.Discard(), d.Close()); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(theirs) {
		t.Errorf("left: %v, %v", entries, err)
	}
	if d, err = Open(path); err != nil {
		t.Fatal(err)
	}
	if err := d.Discard(); err != nil {
		t.Errorf("of nothing: %v", err)
	}
}
