package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/containerd/log"
	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/node/internal/disk"
)

// tarOf returns a tar of files with their contents, followed by padding.
func tarOf(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		must(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(name)), Mode: 0o644, Uid: os.Getuid(), Gid: os.Getgid()}))
		_, err := io.WriteString(w, name)
		must(t, err)
	}
	must(t, w.Close())
	return append(b.Bytes(), make([]byte, 4096)...)
}

// broken is a blob whose reads fail after n bytes.
type broken struct {
	*bytes.Reader
	n int64
}

var errDisk = errors.New("disk error")

func (b broken) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > b.n && off > 0 {
		return 0, errDisk
	}
	return b.Reader.ReadAt(p, off)
}

func TestApply(t *testing.T) {
	plain := tarOf(t, "a", "b")
	for name, blob := range map[string][]byte{"plain": plain, "gzip": bundletest.Gzip(t, plain), "zstd": zstded(t, plain)} {
		for _, target := range []*Target{nil, {Dir: t.TempDir()}} {
			if target != nil && runtime.GOOS != "linux" {
				continue
			}
			var read int64
			got, err := Apply(t.Context(), bytes.NewReader(blob), target, Options{OnRead: func(n int64) { read += n }})
			want := Result{DiffID: digest.FromBytes(plain), Size: int64(len(plain))}
			if err != nil || got != want || read != int64(len(blob)) {
				t.Errorf("%s into %v: %+v, %v after %d bytes, want %+v after %d", name, target, got, err, read, want, len(blob))
			}
			if target == nil {
				continue
			}
			if b, err := os.ReadFile(filepath.Join(target.Dir, "b")); string(b) != "b" {
				t.Errorf("%s: file b has %q, %v", name, b, err)
			}
		}
	}
}

// TestExtractionLogsNothing unpacks a link with an extended attribute, which only files and
// directories can have: containerd's archive package logs that.
func TestExtractionLogsNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the layer belongs to root")
	}
	var logged, layer bytes.Buffer
	defer log.L.Logger.SetOutput(log.L.Logger.Out)
	log.L.Logger.SetOutput(&logged)
	w := tar.NewWriter(&layer)
	must(t, w.WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeSymlink, Linkname: "b", PAXRecords: map[string]string{"SCHILY.xattr.user.x": "y"}}))
	must(t, w.Close())
	dir := t.TempDir()
	_, err := Apply(t.Context(), bytes.NewReader(layer.Bytes()), &Target{Dir: dir}, Options{})
	must(t, err)
	if to, err := os.Readlink(filepath.Join(dir, "a")); to != "b" || logged.Len() > 0 {
		t.Errorf("link to %q, %v, logged: %s", to, err, logged.String())
	}
}

func TestApplyErrors(t *testing.T) {
	plain := tarOf(t, "a", "dir/b")
	packed := bundletest.Gzip(t, append(plain, noise(200_000)...))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name    string
		ctx     context.Context
		blob    Blob
		target  *Target
		damaged bool
		is      error
	}{
		{"cut gzip", t.Context(), bytes.NewReader(packed[:len(packed)/2]), nil, true, io.ErrUnexpectedEOF},
		{"cut tar", t.Context(), bytes.NewReader(plain[:512]), nil, true, io.ErrUnexpectedEOF},
		{"no tar", t.Context(), bytes.NewReader(noise(1024)), nil, true, tar.ErrHeader},
		{"disk error", t.Context(), broken{bytes.NewReader(packed), 1000}, nil, false, errDisk},
		{"context", ended, bytes.NewReader(packed), nil, false, context.Canceled},
		{"without its parents", t.Context(), bytes.NewReader(plain), &Target{Dir: t.TempDir(), Detached: true}, false, ErrNeedsParent},
	} {
		if tt.target != nil && runtime.GOOS != "linux" {
			continue
		}
		_, err := Apply(tt.ctx, tt.blob, tt.target, Options{})
		if !errors.Is(err, tt.is) || errors.Is(err, archive.ErrDamaged) != tt.damaged {
			t.Errorf("%s: %v, want %v, damaged: %t", tt.name, err, tt.is, tt.damaged)
		}
	}
}

// TestApplyBudget unpacks a layer that is larger than the budget, and one that is damaged.
func TestApplyBudget(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("extraction needs Linux")
	}
	layer := func(size int64) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		must(t, w.WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: size, Mode: 0o644, Uid: os.Getuid(), Gid: os.Getgid()}))
		_, err := w.Write(make([]byte, size))
		must(t, errors.Join(err, w.Close()))
		return b.Bytes()
	}
	for _, tt := range []struct {
		name    string
		blob    []byte
		damaged bool
		full    bool
	}{
		{"fits", layer(1 << 20), false, false},
		{"too large", layer(3 << 20), false, true},
		{"a bomb", append(bundletest.Gzip(t, layer(3<<20)), bundletest.Gzip(t, nil)...), true, false},
	} {
		dir := t.TempDir()
		_, err := Apply(t.Context(), bytes.NewReader(tt.blob), &Target{Dir: dir}, Options{Budget: budget(t, 2<<20, 10)})
		var full *disk.FullError
		var size *SizeError
		if errors.As(err, &full) != tt.full || errors.As(err, &size) != tt.damaged || errors.Is(err, archive.ErrDamaged) != tt.damaged {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.damaged && !errors.As(size.Err, &full) {
			t.Errorf("%s: ended by %v", tt.name, size.Err)
		}
		if files, err := os.ReadDir(dir); err != nil || (len(files) > 0) != (!tt.damaged && !tt.full) {
			t.Errorf("%s: %v, %v", tt.name, files, err)
		}
	}
}
