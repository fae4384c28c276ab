//go:build linux

package placed

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"stowage/internal/fsutil"
	"stowage/internal/need"
	"stowage/pkg/node/internal/disk"
)

// hello is a blob.
const hello = "hello, blobs"

// blob returns hello as a blob.
func blob() Blob {
	d := digest.FromString(hello)
	return Blob{Digest: d, Size: int64(len(hello)), In: strings.NewReader(hello), Sum: func() (digest.Digest, error) { return d, nil }}
}

// placeTest is what is special about a store or a blob, and what becomes of it.
type placeTest struct {
	change func(t *testing.T, s *Store, b *Blob)
	placed bool
	err    error  // any with errors.ErrUnsupported
	left   string // in the file of the blob
}

// blobName is the name of the blob's file, relative to the store.
var blobName = filepath.Join("blobs", "sha256", digest.FromString(hello).Encoded())

// placeTests returns the cases of TestPlace by name.
func placeTests(t *testing.T) map[string]placeTest {
	boom := errors.New("boom")
	full, err := disk.New("/x", func() (fsutil.Usage, error) { return fsutil.Usage{Size: 1 << 30, Block: 4096}, nil })
	if err != nil {
		t.Fatal(err)
	}
	return map[string]placeTest{
		"new store":        {placed: true, left: hello},
		"unknown digest":   {func(_ *testing.T, _ *Store, b *Blob) { b.Digest = "" }, true, nil, hello},
		"there":            {func(t *testing.T, s *Store, _ *Blob) { write(t, s, blobName, "HELLO, BLOBS") }, false, nil, "HELLO, BLOBS"},
		"found at the end": {func(t *testing.T, s *Store, b *Blob) { b.Digest = ""; write(t, s, blobName, "HELLO, BLOBS") }, true, nil, "HELLO, BLOBS"},
		"other size":       {func(t *testing.T, s *Store, b *Blob) { b.Digest = ""; write(t, s, blobName, "no") }, false, errors.ErrUnsupported, "no"},
		"too short":        {func(_ *testing.T, _ *Store, b *Blob) { b.Size++ }, false, io.ErrUnexpectedEOF, ""},
		"too long":         {func(_ *testing.T, _ *Store, b *Blob) { b.Size-- }, false, io.ErrUnexpectedEOF, ""},
		"wrong digest":     {func(_ *testing.T, _ *Store, b *Blob) { b.Sum = func() (digest.Digest, error) { return "", boom } }, false, boom, ""},
		"read error":       {func(_ *testing.T, _ *Store, b *Blob) { b.In = io.MultiReader(b.In, errReader{boom}) }, false, boom, ""},
		"full disk":        {func(_ *testing.T, s *Store, _ *Blob) { s.budget = full }, false, errors.ErrUnsupported, ""},
		"fs-verity":        {func(_ *testing.T, s *Store, _ *Blob) { s.verity = func(uintptr) bool { return true } }, false, nil, ""},
		"no directory":     {func(_ *testing.T, s *Store, _ *Blob) { s.root += "/none" }, false, nil, ""},
		"no new directory": {func(_ *testing.T, s *Store, _ *Blob) { s.root = "/proc/self" }, false, nil, ""},
		"no O_TMPFILE": {func(t *testing.T, s *Store, _ *Blob) {
			need.Root(t, "mount a file system")
			if err := unix.Mount("bpf", s.root, "bpf", 0, ""); err != nil {
				need.Missing(t, err)
			}
			t.Cleanup(func() { unix.Unmount(s.root, 0) })
			if err := os.MkdirAll(filepath.Join(s.root, "blobs", "sha256"), 0o755); err != nil {
				t.Fatal(err)
			}
		}, false, nil, ""},
		"the root is a link": {func(t *testing.T, s *Store, _ *Blob) {
			link := filepath.Join(t.TempDir(), "link")
			if err := os.Symlink(s.root, link); err != nil {
				t.Fatal(err)
			}
			s.root = link
		}, true, nil, hello},
		"another owner": {func(t *testing.T, s *Store, _ *Blob) {
			need.Root(t, "change the owner of a directory")
			write(t, s, "blobs/sha256/x", "")
			if err := os.Chown(filepath.Join(s.root, "blobs", "sha256"), 1, 1); err != nil {
				t.Fatal(err)
			}
		}, false, nil, ""},
		"unknown root":   {func(_ *testing.T, s *Store, _ *Blob) { s.root = "" }, false, nil, ""},
		"refused before": {func(_ *testing.T, s *Store, _ *Blob) { s.refuses.Store(true) }, false, nil, ""},
		"a link": {func(t *testing.T, s *Store, _ *Blob) {
			if err := os.Symlink(t.TempDir(), filepath.Join(s.root, "blobs")); err != nil {
				t.Fatal(err)
			}
		}, false, nil, ""},
		"others can write": {func(t *testing.T, s *Store, _ *Blob) {
			write(t, s, "blobs/sha256/x", "")
			if err := os.Chmod(filepath.Join(s.root, "blobs"), 0o777); err != nil {
				t.Fatal(err)
			}
		}, false, nil, ""},
	}
}

// TestPlace places blobs and looks at what is in the store.
func TestPlace(t *testing.T) {
	for what, test := range placeTests(t) {
		t.Run(what, func(t *testing.T) {
			root := t.TempDir()
			s, b := New(root, nil), blob()
			s.verity = func(uintptr) bool { return false }
			if test.change != nil {
				test.change(t, s, &b)
			}
			f, err := s.Place(t.Context(), b)
			switch {
			case test.err == errors.ErrUnsupported && err != nil, errors.Is(err, test.err):
			default:
				t.Errorf("error: %v, want %v", err, test.err)
			}
			if (f != nil) != test.placed {
				t.Errorf("placed: %v", f != nil)
			}
			raw, _ := os.ReadFile(filepath.Join(root, blobName))
			if string(raw) != test.left {
				t.Errorf("left: %q, want %q", raw, test.left)
			}
			if f == nil {
				return
			}
			in, _ := f.Open(7)
			if rest, err := io.ReadAll(in); err != nil || string(rest) != hello[7:] || f.Size() != b.Size || f.Digest() != digest.FromString(hello) {
				t.Errorf("file: %q, %v, %d bytes, %s", rest, err, f.Size(), f.Digest())
			}
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPlaceAll places blobs together: all, none if one is wrong, or those that are not there.
func TestPlaceAll(t *testing.T) {
	boom := errors.New("boom")
	for what, test := range map[string]struct {
		change func(t *testing.T, s *Store, all []Blob)
		placed int
		err    error // any with errors.ErrUnsupported
		left   int
	}{
		"new store": {placed: 3, left: 3},
		"one wrong": {func(_ *testing.T, _ *Store, all []Blob) {
			all[1].Sum = func() (digest.Digest, error) { return "", boom }
		}, 0, boom, 0},
		"one there":      {func(t *testing.T, s *Store, _ []Blob) { write(t, s, blobName, hello) }, 2, nil, 3},
		"another size":   {func(t *testing.T, s *Store, all []Blob) { all[0].Digest = ""; write(t, s, blobName, "no") }, 0, errors.ErrUnsupported, 1},
		"refused before": {func(_ *testing.T, s *Store, _ []Blob) { s.refuses.Store(true) }, 0, nil, 0},
		"no directory":   {func(_ *testing.T, s *Store, _ []Blob) { s.root += "/none" }, 0, nil, 0},
	} {
		t.Run(what, func(t *testing.T) {
			s := New(t.TempDir(), nil)
			s.verity = func(uintptr) bool { return false }
			var all []Blob
			for _, text := range []string{hello, "second", "third"} {
				d := digest.FromString(text)
				all = append(all, Blob{Digest: d, Size: int64(len(text)), In: strings.NewReader(text), Sum: func() (digest.Digest, error) { return d, nil }})
			}
			if test.change != nil {
				test.change(t, s, all)
			}
			got, err := s.PlaceAll(t.Context(), all)
			if !errors.Is(err, test.err) && (test.err != errors.ErrUnsupported || err == nil) || len(got) != test.placed {
				t.Errorf("placed %v, error %v", got, err)
			}
			if files, _ := filepath.Glob(s.root + "/blobs/sha256/*"); len(files) != test.left {
				t.Errorf("files: %v", files)
			}
		})
	}
}

// TestMode places a blob in a directory that containerd has made under a strict umask.
func TestMode(t *testing.T) {
	for dir, want := range map[os.FileMode]os.FileMode{0o755: 0o444, 0o750: 0o440, 0o700: 0o400} {
		s := New(t.TempDir(), nil)
		s.verity = func(uintptr) bool { return false }
		write(t, s, "blobs/sha256/x", "")
		if err := os.Chmod(filepath.Join(s.root, "blobs", "sha256"), dir); err != nil {
			t.Fatal(err)
		}
		f, err := s.Place(t.Context(), blob())
		if err != nil || f == nil {
			t.Fatal(f, err)
		}
		f.Close()
		info, err := os.Stat(filepath.Join(s.root, "blobs", "sha256", digest.FromString(hello).Encoded()))
		if err != nil || info.Mode() != want {
			t.Errorf("directory %v: %v, %v, want %v", dir, info.Mode(), err, want)
		}
	}
}

// TestRefused places nothing after a refusal, unless a collection was the reason for it.
func TestRefused(t *testing.T) {
	for _, collected := range []bool{false, true} {
		s := New(t.TempDir(), nil)
		s.verity = func(uintptr) bool { return false }
		f, err := s.Place(t.Context(), blob())
		if err != nil || f == nil {
			t.Fatal(f, err)
		}
		if collected {
			if err := os.RemoveAll(filepath.Join(s.root, "blobs")); err != nil {
				t.Fatal(err)
			}
		}
		f.Refused()
		f.Close()
		if s.refuses.Load() == collected {
			t.Errorf("collected %v: refuses %v", collected, s.refuses.Load())
		}
	}
}

// TestCancelled ends the context while a blob is written.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, b := New(t.TempDir(), nil), blob()
	b.Sum = func() (digest.Digest, error) { cancel(); return b.Digest, nil }
	f, err := s.Place(ctx, b)
	if f != nil || !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("%v, %v", f, err)
	}
	if names, _ := filepath.Glob(s.root + "/blobs/sha256/*"); len(names) > 0 {
		t.Errorf("left behind: %v", names)
	}
}

// TestNilFile uses the file of a blob that was not placed.
func TestNilFile(t *testing.T) {
	f, err := (*Store)(nil).Place(t.Context(), blob())
	f.Refused()
	if f != nil || err != nil || f.Size() != 0 || f.Close() != nil {
		t.Errorf("%v, %v", f, err)
	}
}

// errReader fails.
type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

// write writes a file of the store.
func write(t *testing.T, s *Store, name, text string) {
	t.Helper()
	path := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o444); err != nil {
		t.Fatal(err)
	}
}
