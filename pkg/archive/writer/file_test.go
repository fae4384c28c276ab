package writer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

func TestFileThenReader(t *testing.T) {
	s := small()
	raw := s.bundle(t)
	p := s.plan(t)
	if int64(len(raw)) != p.Size() {
		t.Errorf("file has %d bytes, plan says %d", len(raw), p.Size())
	}
	r := open(t, raw)
	if r.Digest() != p.Digest() || !r.Native() {
		t.Errorf("identity %s native=%t, want %s", r.Digest(), r.Native(), p.Digest())
	}
	if diff := cmp.Diff(p.Blobs(), r.Blobs()); diff != "" {
		t.Errorf("blobs of plan and reader (-plan +reader):\n%s", diff)
	}
	var n int64
	var mu sync.Mutex
	if err := r.Verify(t.Context(), 2, func(m int64) { mu.Lock(); n += m; mu.Unlock() }); err != nil {
		t.Error(err)
	}
	var want int64
	for _, b := range r.Blobs() {
		want += b.Size
	}
	if n != want {
		t.Errorf("verified %d bytes of %d", n, want)
	}
}

// TestSameBytes: however many write, in whatever pieces, over whatever was there.
func TestSameBytes(t *testing.T) {
	s := small()
	want := s.bundle(t)
	for _, tc := range []struct{ jobs, chunk int }{{1, 1 << 20}, {2, 1}, {4, 100}, {16, 513}} {
		path := filepath.Join(t.TempDir(), "x.tar")
		// A left-over without a journal says nothing, and its bytes must not shine through.
		if err := os.WriteFile(path+partialSuffix, bytes.Repeat([]byte("garbage"), 100_000), 0o644); err != nil {
			t.Fatal(err)
		}
		d := s.start(t, path)
		if err := s.fill(d, tc.jobs, tc.chunk); err != nil {
			t.Fatal(err)
		}
		if err := d.Commit(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("jobs %d, chunk %d: other bytes", tc.jobs, tc.chunk)
		}
		left, _ := filepath.Glob(path + ".*")
		if len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

func TestFileWritesNothingEarly(t *testing.T) {
	dir := t.TempDir()
	d, err := Open(filepath.Join(dir, "x.tar"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Metadata(digest.FromString("x")); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("document of an empty file: %v", err)
	}
	if _, err := d.Blob(digest.FromString("x")); err == nil {
		t.Error("blob without a plan")
	}
	if err := d.Commit(); err == nil {
		t.Error("commit without a plan")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("files %v", left)
	}
	if _, err := d.AddMetadata([]byte("{}")); err == nil {
		t.Error("document added to a closed file")
	}
	if _, err := d.Metadata(digest.FromString("x")); err == nil || errors.Is(err, archive.ErrNotFound) {
		t.Errorf("document of a closed file: %v", err)
	}
}

func TestOutputChecks(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ name, path, want string }{
		{"empty", "", "no file name"},
		{"directory", dir, "is a directory"},
		{"no parent", filepath.Join(dir, "none", "x.tar"), "no such file"},
		{"parent is a file", filepath.Join(file, "x.tar"), "not a"},
		{"device", os.DevNull, "not a regular file"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if _, err := Open(tc.path); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want something with %q", err, tc.want)
			}
		})
	}
	t.Run("unwritable", func(t *testing.T) {
		if os.Getuid() == 0 {
			t.Skip("root may write everywhere")
		}
		locked := filepath.Join(dir, "locked")
		if err := os.Mkdir(locked, 0o555); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(filepath.Join(locked, "x.tar")); !errors.Is(err, fs.ErrPermission) {
			t.Errorf("got %v", err)
		}
	})
}

// TestLink: a symbolic link stays one, and what it points to is replaced.
func TestLink(t *testing.T) {
	s, dir := small(), t.TempDir()
	real, link := filepath.Join(dir, "sub", "real.tar"), filepath.Join(dir, "link.tar")
	if err := errors.Join(os.Mkdir(filepath.Dir(real), 0o755), os.WriteFile(real, []byte("old"), 0o644), os.Symlink(real, link)); err != nil {
		t.Fatal(err)
	}
	d := s.start(t, link)
	if err := errors.Join(s.fill(d, 1, 1000), d.Commit()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is gone: %v %v", info, err)
	}
	if _, err := Open(real); err != nil {
		t.Error(err)
	}
}

func TestCommitIncomplete(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	missing := d.Missing()
	for _, b := range missing[1:] {
		if err := s.write(d, b.Digest, 1000); err != nil {
			t.Fatal(err)
		}
	}
	err := d.Commit()
	if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), missing[0].Digest.String()) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a half bundle has its name: %v", err)
	}
	// It goes on as if nothing had been.
	if err := errors.Join(s.fill(d, 1, 1000), d.Commit()); err != nil {
		t.Error(err)
	}
}

// TestWrongDigest: wrong bytes leave nothing, right ones may follow at once.
func TestWrongDigest(t *testing.T) {
	s := small()
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	b := d.Missing()[4]
	w, err := d.Blob(b.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Blob(b.Digest); err == nil {
		t.Error("two writers of one blob")
	}
	if _, err := w.WriteAt(make([]byte, b.Size), 0); err != nil {
		t.Fatal(err)
	}
	err = w.Commit()
	var de *archive.DigestError
	if !errors.As(err, &de) || de.Want != b.Digest || de.Got != digest.FromBytes(make([]byte, b.Size)) || de.Size != b.Size {
		t.Errorf("got %v", err)
	}
	if w.Prefix() != 0 || !slices.Equal(missing(w), []span{{0, b.Size}}) {
		t.Errorf("kept %d bytes, gaps %v", w.Prefix(), missing(w))
	}
	if _, err := w.WriteAt(s.Blobs[b.Digest], 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Commit(), w.Commit(), w.Close()); err != nil {
		t.Error(err)
	}
	if _, err := w.WriteAt([]byte("x"), 0); err == nil {
		t.Error("write after commit")
	}
	if slices.ContainsFunc(d.Missing(), func(m archive.Blob) bool { return m.Digest == b.Digest }) {
		t.Error("still missing")
	}
	again, err := d.Blob(b.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if again.Prefix() != b.Size || again.Commit() != nil || len(missing(again)) != 0 {
		t.Errorf("a complete blob has prefix %d", again.Prefix())
	}
}

func TestWriterEdges(t *testing.T) {
	s := small()
	d := s.start(t, filepath.Join(t.TempDir(), "x.tar"))
	b := d.Missing()[4]
	raw := s.Blobs[b.Digest]
	w, err := d.Blob(b.Digest)
	if err != nil {
		t.Fatal(err)
	}
	n := b.Size
	for _, tc := range []struct {
		name   string
		off    int64
		length int64
		ok     bool
	}{
		{"nothing", 0, 0, true},
		{"before", -1, 1, false},
		{"last byte", n - 1, 1, true},
		{"past the end", n - 1, 2, false},
		{"at the end", n, 1, false},
		{"too long", 0, n + 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := make([]byte, tc.length)
			if tc.ok {
				p = raw[tc.off : tc.off+tc.length]
			}
			m, err := w.WriteAt(p, tc.off)
			if (err == nil) != tc.ok || (tc.ok && m != len(p)) {
				t.Errorf("wrote %d: %v", m, err)
			}
		})
	}
	if err := w.Commit(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("commit of a short blob: %v", err)
	}
	if diff := cmp.Diff([]span{{0, n - 1}}, missing(w), cmp.AllowUnexported(span{})); diff != "" {
		t.Errorf("missing (-want +got):\n%s", diff)
	}
	// What is there is not written again, so a sloppy retry cannot spoil it.
	if _, err := w.WriteAt(append(slices.Clone(raw[:n-1]), raw[n-1]^1), 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil {
		t.Error(err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := d.Blob(digest.FromString("unknown")); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("unknown blob: %v", err)
	}
}

// TestManyWriters writes one blob from many goroutines, in all orders.
func TestManyWriters(t *testing.T) {
	s, dg := big(12<<20 + 7)
	raw := s.Blobs[dg]
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	w, err := d.Blob(dg)
	if err != nil {
		t.Fatal(err)
	}
	const piece = 1 << 20
	next := make(chan int)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for start := range next {
				end := min(start+piece, len(raw))
				for off := start; off < end; off += 60_000 {
					if _, err := w.WriteAt(raw[off:min(off+60_000, end)], int64(off)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for start := (len(raw) - 1) / piece * piece; start >= 0; start -= piece { // the last first
		next <- start
	}
	close(next)
	wg.Wait()
	if err := errors.Join(w.Commit(), w.Close(), s.fill(d, 1, 1000), d.Commit()); err != nil {
		t.Fatal(err)
	}
	r, err := archive.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Verify(t.Context(), 0, nil); err != nil {
		t.Error(err)
	}
}

func TestReuse(t *testing.T) {
	s := small()
	raw := s.bundle(t)
	d := s.start(t, filepath.Join(t.TempDir(), "x.tar"))
	r := open(t, raw)
	n, err := d.Reuse(t.Context(), r, nil)
	if err != nil || n != len(r.Blobs())-6 { // manifests were there
		t.Errorf("used %d: %v", n, err)
	}
	if err := d.Commit(); err != nil {
		t.Error(err)
	}
}

// TestReuseForms copies blobs from a compressed bundle and from a directory.
func TestReuseForms(t *testing.T) {
	s := small()
	dir := t.TempDir()
	r := tar.NewReader(bytes.NewReader(s.bundle(t)))
	for {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(name, 0o755)
		} else if raw, rerr := io.ReadAll(r); rerr == nil {
			err = os.WriteFile(name, raw, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, src := range []string{s.bundleAs(t, archive.Gzip), s.bundleAs(t, archive.Zstd), dir} {
		path := filepath.Join(t.TempDir(), "x.tar")
		f := s.start(t, path)
		from, err := archive.Open(t.Context(), src, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Reuse(t.Context(), from, nil); err != nil || len(f.Missing()) > 0 {
			t.Fatalf("%s: %d missing, %v", src, len(f.Missing()), err)
		}
		from.Close()
		s.finish(t, f, path)
	}
}

// TestReuseWithoutLayers refuses a reader that has the manifests alone.
func TestReuseWithoutLayers(t *testing.T) {
	s := small()
	r, err := archive.Open(t.Context(), s.bundleAs(t, archive.Zstd), &archive.OpenOptions{Metadata: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := (&File{}).Reuse(t.Context(), r, nil); !errors.Is(err, archive.ErrMetadataOnly) {
		t.Errorf("got %v, want ErrHeadOnly", err)
	}
}

// TestReuseDamaged: what the older bundle has wrong stays missing, and nothing else.
func TestReuseDamaged(t *testing.T) {
	s := small()
	raw := s.bundle(t)
	r := open(t, raw)
	last := r.Blobs()[len(r.Blobs())-1]
	raw[last.Offset] ^= 1
	d := s.start(t, filepath.Join(t.TempDir(), "x.tar"))
	if _, err := d.Reuse(t.Context(), r, nil); err != nil {
		t.Error(err)
	}
	if m := d.Missing(); len(m) != 1 || m[0].Digest != last.Digest {
		t.Errorf("missing %v", m)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.Reuse(ctx, r, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := errors.Join(s.fill(d, 1, 10), d.Commit()); err != nil {
		t.Error(err)
	}
}

// TestCloseWhileWriting: a file may be closed under its writers; they get errors, and none
// waits for ever, and the next run goes on.
func TestCloseWhileWriting(t *testing.T) {
	s := newStore()
	for i := range 30 {
		s.name("a.test/a:"+strings.Repeat("x", i+1), s.Manifest(amd64, s.Layer(uint64(i), 20_000)))
	}
	path := filepath.Join(t.TempDir(), "x.tar")
	d := s.start(t, path)
	missing := d.Missing()
	var wg sync.WaitGroup
	half := make(chan struct{}, len(missing)*8)
	for j := range 8 {
		wg.Go(func() {
			for i := range missing {
				dg := missing[(i*7+j*3)%len(missing)].Digest
				_ = s.write(d, dg, 1000) // others may be at it, or the file closed
				half <- struct{}{}
			}
		})
	}
	for range 40 {
		<-half
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := d.Blob(missing[0].Digest); err == nil {
		t.Error("a closed file opens blobs")
	}
	s.finish(t, s.resumed(t, path), path)
}
