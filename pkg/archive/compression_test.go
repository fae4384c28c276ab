package archive

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive/internal/archivetest"
)

// packed compresses bytes as another program might.
func packed(t testing.TB, c Compression, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&b)
	if c == Zstd {
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeTemp(t testing.TB, raw []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// ownTemp sets a temporary directory for the test, which fails if a file is left in it.
func ownTemp(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir) // on Windows
	t.Cleanup(func() {
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("left in the temporary directory: %v", left)
		}
	})
	return dir
}

func TestCompressionOf(t *testing.T) {
	for name, want := range map[string]Compression{
		"x.tar": Plain, "x.tar.gz": Gzip, "x.tgz": Gzip, "x.tar.zst": Zstd, "x.tzst": Zstd, "X.TAR.ZST": Zstd,
		"gz": Plain, "": Plain, "dir.gz/x.tar": Plain,
	} {
		if got := CompressionOf(name); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// TestCompressed: a compressed bundle is the plain one, packed; everything can be done
// with it, and nothing is left behind.
func TestCompressed(t *testing.T) {
	ownTemp(t)
	s := small()
	raw := s.bundle(t, PlanOptions{})
	plain := open(t, raw)
	for _, c := range []Compression{Gzip, Zstd} {
		t.Run(c.String(), func(t *testing.T) {
			path := s.bundleAs(t, c, PlanOptions{})
			if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			var read int64
			r, err := Open(t.Context(), path, &OpenOptions{OnBytes: func(n int64) { read += n }})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if info, err := os.Stat(path); err != nil || read != info.Size() || info.Size() >= int64(len(raw)) {
				t.Errorf("reported %d bytes of a file of %d: %v", read, info.Size(), err)
			}
			same(t, plain, r)
			if r.MetadataOnly() || r.Compression() != c {
				t.Errorf("metadata only %t, %s", r.MetadataOnly(), r.Compression())
			}
			if err := r.Verify(t.Context(), 0, nil); err != nil {
				t.Error(err)
			}
			unpacked := make([]byte, r.Size())
			if _, err := r.src.ReadAt(unpacked, 0); err != nil || !bytes.Equal(unpacked, raw) {
				t.Errorf("other bytes than the plain bundle: %v", err)
			}
		})
	}
}

// same compares what two readers know.
func same(t *testing.T, want, got *Reader) {
	t.Helper()
	if got.Digest() != want.Digest() || got.Size() != want.Size() {
		t.Errorf("%s of %d bytes, want %s of %d", got.Digest(), got.Size(), want.Digest(), want.Size())
	}
	if diff := cmp.Diff(want.Blobs(), got.Blobs()); diff != "" {
		t.Errorf("blobs (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(want.Images(), got.Images()); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
	a, err := want.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	b, err := got.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a, b); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
	d := Compare(want, got)
	if len(d.Added)+len(d.Removed)+len(d.Changed)+d.NewBlobs+d.GoneBlobs > 0 {
		t.Errorf("difference %+v", d)
	}
}

// TestPackedBytes: the compressed bytes do not depend on the number of processors or on
// earlier work. The digests depend on the library alone: a change of its version changes
// them here and is named in the change log.
func TestPackedBytes(t *testing.T) {
	s := mixed()
	for c, want := range map[Compression]string{
		Gzip: "d74fd80e1182082aa7317051138afc381e3efa70e1daf8b11952458fa4565e2e",
		Zstd: "b88458f0d4646de56e8bf238122dd34a358de7c9b76a71e5f4100e3e8ed68213",
	} {
		for _, procs := range []int{1, 2, 8} {
			old := runtime.GOMAXPROCS(procs)
			raw, err := os.ReadFile(s.bundleAs(t, c, PlanOptions{}))
			runtime.GOMAXPROCS(old)
			if err != nil {
				t.Fatal(err)
			}
			if got := digest.FromBytes(raw).Encoded(); got != want {
				t.Errorf("%s, %d processors: %d bytes, %s, want %s", c, procs, len(raw), got, want)
			}
		}
	}
}

// TestOtherTools: the programs that everybody has agree.
func TestOtherTools(t *testing.T) {
	s := mixed()
	want := s.bundle(t, PlanOptions{})
	for _, c := range []Compression{Gzip, Zstd} {
		t.Run(c.String(), func(t *testing.T) {
			tool, err := exec.LookPath(c.String())
			if err != nil {
				t.Skip(err)
			}
			got, err := exec.Command(tool, "-dc", s.bundleAs(t, c, PlanOptions{})).Output()
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s -dc returns %d bytes, want %d: %v", c, len(got), len(want), err)
			}
			pack := exec.Command(tool, "-c")
			pack.Stdin = bytes.NewReader(want)
			raw, err := pack.Output()
			if err != nil {
				t.Fatal(err)
			}
			r, err := Open(t.Context(), writeTemp(t, raw), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			same(t, open(t, want), r)
		})
	}
}

// TestCompressedForeign: the layouts of other programs, their index last, in pieces.
func TestCompressedForeign(t *testing.T) {
	ownTemp(t)
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 100_000))
	other := pack(s.layoutOf("./", annotated(m, byContainerd, "docker.io/library/a:1"))...)
	native := small().bundle(t, PlanOptions{})
	skip := []byte("\x5a\x2a\x4d\x18\x03\x00\x00\x00abc")
	for _, tc := range []struct {
		name  string
		raw   []byte
		short bool // opens without its layers
	}{
		{"gzip", packed(t, Gzip, other), false},
		{"zstd", packed(t, Zstd, other), false},
		{"gzip in two members", append(packed(t, Gzip, native[:5000]), packed(t, Gzip, native[5000:])...), false},
		{"zstd in two frames", append(packed(t, Zstd, native[:5000]), packed(t, Zstd, native[5000:])...), true},
		{"zstd with frames to skip", bytes.Join([][]byte{skip, packed(t, Zstd, native), skip}, nil), true},
		{"padded as by GNU tar", packed(t, Zstd, append(bytes.Clone(native), make([]byte, 8192)...)), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := writeTemp(t, tc.raw)
			r, err := Open(t.Context(), path, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if err := r.Verify(t.Context(), 0, nil); err != nil {
				t.Error(err)
			}
			h, err := openMetadata(path)
			if tc.short {
				if err != nil {
					t.Fatal(err)
				}
				h.Close()
			} else if !errors.Is(err, ErrNoMetadata) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("metadata: %v", err)
			}
		})
	}
}

// TestCompressedDamaged: cut or altered anywhere, a compressed bundle is refused as damaged.
func TestCompressedDamaged(t *testing.T) {
	ownTemp(t)
	s := small()
	for _, c := range []Compression{Gzip, Zstd} {
		t.Run(c.String(), func(t *testing.T) {
			raw, err := os.ReadFile(s.bundleAs(t, c, PlanOptions{}))
			if err != nil {
				t.Fatal(err)
			}
			for n := 4; n < len(raw); n += 97 {
				refuse(t, "cut", n, raw[:n])
			}
			for n := 4; n < len(raw); n += 61 {
				flipped := bytes.Clone(raw)
				flipped[n] ^= 0x10
				if n < 10 {
					continue // fields of the header that mean nothing
				}
				refuse(t, "flipped", n, flipped)
			}
			refuse(t, "something behind", len(raw), append(bytes.Clone(raw), "something"...))
		})
	}
}

func refuse(t *testing.T, what string, n int, raw []byte) {
	t.Helper()
	path := writeTemp(t, raw)
	r, err := Open(t.Context(), path, nil)
	if err == nil {
		r.Close()
	}
	if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
		t.Errorf("%s at %d of %d: %v", what, n, len(raw), err)
	}
	if what != "cut" {
		return
	}
	h, err := openMetadata(path)
	if err == nil {
		h.Close()
	}
	if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNoMetadata) {
		t.Errorf("metadata %s at %d of %d: %v", what, n, len(raw), err)
	}
}

// TestCompressedHostile: what a compressed file may not do to us.
func TestCompressedHostile(t *testing.T) {
	ownTemp(t)
	native := small().bundle(t, PlanOptions{})
	var wide bytes.Buffer
	w, err := zstd.NewWriter(&wide, zstd.WithWindowSize(256<<20))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(append(bytes.Clone(native), archivetest.Noise(1, 300<<10)...)); err != nil {
		t.Fatal(err)
	}
	w.Close()
	for _, tc := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"not a tar", packed(t, Gzip, bytes.Repeat([]byte("x"), 10_000)), "not a tar"},
		{"nothing inside", packed(t, Zstd, nil), "empty file"},
		{"packed twice", packed(t, Zstd, packed(t, Gzip, native)), "not a tar"},
		{"zeros behind", packed(t, Gzip, append(bytes.Clone(native), make([]byte, 2<<20)...)), "after the end of the tar"},
		{"window of 256 MiB", wide.Bytes(), "32 MiB"},
		{"one segment of 100 GiB", append([]byte("\x28\xb5\x2f\xfd\xe0\x00\x00\x00\x00\x19\x00\x00\x00"), make([]byte, 100)...), "zstd"},
		{"magic alone", []byte("\x28\xb5\x2f\xfd"), "cut"},
		{"gzip magic alone", []byte("\x1f\x8b"), "cut"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Open(t.Context(), writeTemp(t, tc.raw), nil)
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want something with %q", err, tc.want)
			}
		})
	}
}

// TestWindow: a large file may have a larger window than a small one or a stream.
func TestWindow(t *testing.T) {
	ownTemp(t)
	s := newStore()
	s.name("a.test/a:1", s.Manifest(amd64, s.Layer(1, 300_000)))
	raw := packed(t, Zstd, s.bundle(t, PlanOptions{}))
	const large, small, stream = "large file", "small file", "pipe"
	for _, tc := range []struct {
		source     string
		descriptor byte // of the window: RFC 8878, 3.1.1.1.2
		want       string
	}{
		{large, 17 << 3, ""},
		{large, 17<<3 + 1, "more than 128 MiB of memory (load it with \"zstd -dc --long=31 FILE | load -\""},
		{small, 15 << 3, ""},
		{small, 15<<3 + 1, "more than 32 MiB of memory (load it with \"zstd -dc --long=31 FILE | load -\""},
		{stream, 15 << 3, ""},
		{stream, 15<<3 + 1, "more than 32 MiB of memory (decompress it first with \"zstd -dc --long=31\")"},
	} {
		t.Run(fmt.Sprint(tc.source, " ", tc.descriptor), func(t *testing.T) {
			raw := bytes.Clone(raw)
			raw[5] = tc.descriptor
			lim := defaultLimits
			if lim.small = int64(len(raw)); tc.source == large {
				lim.small--
			}
			wrong := func(err error) bool {
				if tc.want == "" {
					return err != nil
				}
				return !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tc.want)
			}
			var in io.Reader = bytes.NewReader(raw)
			if tc.source != stream {
				f := someFile{bytes.NewReader(raw)}
				p := &compressedFile{path: f.Name(), src: f, size: f.Size(), kind: Zstd, lim: lim, stop: t.Context().Err}
				if _, err := p.open(&OpenOptions{Metadata: true}); wrong(err) {
					t.Errorf("file: %v, want %q", err, tc.want)
				}
				in = f
			}
			if _, err := drainWithin(t.Context(), in, lim); wrong(err) {
				t.Errorf("stream: %v, want %q", err, tc.want)
			}
		})
	}
}

// TestOpenCancelled: an end of the context ends the unpacking.
func TestOpenCancelled(t *testing.T) {
	ownTemp(t)
	path := mixed().bundleAs(t, Zstd, PlanOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Open(ctx, path, &OpenOptions{OnBytes: func(int64) { cancel() }})
	if !errors.Is(err, context.Canceled) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v", err)
	}
}

// TestPackedDiskError: a failing disk is not a damaged bundle.
func TestPackedDiskError(t *testing.T) {
	ownTemp(t)
	for _, c := range []Compression{Gzip, Zstd} {
		raw, err := os.ReadFile(mixed().bundleAs(t, c, PlanOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		p := &compressedFile{path: "x", src: errReader{bytes.NewReader(raw)}, size: int64(len(raw)), kind: c, lim: defaultLimits}
		p.stop = func() error { return nil }
		if _, err := p.open(&OpenOptions{}); err == nil || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "input/output") {
			t.Errorf("%s: %v", c, err)
		}
	}
}

// TestNoTemp: without a place to unpack to, the place is named.
func TestNoTemp(t *testing.T) {
	path := small().bundleAs(t, Zstd, PlanOptions{})
	missing := filepath.Join(t.TempDir(), "none")
	t.Setenv("TMPDIR", missing)
	t.Setenv("TMP", missing)
	if _, err := Open(t.Context(), path, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("got %v", err)
	}
}
