package archive

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive/internal/archivetest"
)

// unpackTo writes entries to a directory.
func unpackTo(t testing.TB, items []item) string {
	t.Helper()
	dir := t.TempDir()
	for _, it := range items {
		name := filepath.Join(dir, filepath.FromSlash(it.name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(it.data), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestLayout reads a directory like the tarball of the same files.
func TestLayout(t *testing.T) {
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 300_000), s.Put("application/vnd.oci.image.layer.v1.tar", nil), s.Layer(2, 512))
	s.name("docker.io/library/a:1", m)
	items := s.layoutOf("", annotated(m, byLayout, "docker.io/library/a:1"))
	items = append(items, item{name: "ingest/half", data: "x"}, item{name: "blobs/sha256/tmp-1", data: "y"}, item{name: "blobs/sha512/z", data: "z"})
	r, err := Open(t.Context(), unpackTo(t, items), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if len(r.Images()) != 1 || len(r.Blobs()) != 5 || r.Native() || r.Compression() != Plain {
		t.Errorf("%d images, %d blobs", len(r.Images()), len(r.Blobs()))
	}
	if err := r.Verify(t.Context(), 4, nil); err != nil {
		t.Error(err)
	}
	sum, err := r.Inspect()
	if err != nil || sum.BlobSize < 300_512 {
		t.Errorf("%+v, %v", sum, err)
	}
}

// TestLayoutIsABundle: a bundle unpacked with tar is still complete and native.
func TestLayoutIsABundle(t *testing.T) {
	s := newStore()
	m := s.Manifest(amd64, s.Layer(1, 1000))
	s.name("a.test/a:1", m)
	r := open(t, s.bundle(t, PlanOptions{}))
	items := []item{{name: entryLayout, data: layoutDoc}, {name: entryIndex, data: string(r.Index())}}
	for _, b := range r.Blobs() {
		items = append(items, item{name: blobEntry(b.Digest), data: string(s.Blobs[b.Digest])})
	}
	p := s.plan(t, PlanOptions{})
	items = append(items, item{name: entryDocker, data: string(p.docker)})
	l, err := Open(t.Context(), unpackTo(t, items), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Digest() != r.Digest() || !l.Native() {
		t.Errorf("%s, native=%t", l.Digest(), l.Native())
	}
}

// TestLayoutRefused opens hostile and damaged directories.
func TestLayoutRefused(t *testing.T) {
	h := newHostile()
	outside := writeTemp(t, []byte("secret"))
	for _, tc := range []struct {
		name  string
		items []item
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"no index", h.without("index.json"), nil, "index.json"},
		{"no blobs", []item{{name: entryLayout, data: layoutDoc}, h.good[len(h.good)-1]}, nil, "missing"},
		{"a layer is missing", h.without(blobEntry(digest.FromBytes(archivetest.Noise(1, 100)))), nil, "missing"},
		{"a document is altered", h.swap(blobEntry(h.m.Digest), strings.Repeat(" ", int(h.m.Size))), nil, "digest of"},
		{"a blob is a directory", h.good, func(t *testing.T, dir string) {
			if err := os.Mkdir(filepath.Join(dir, blobEntry(digest.FromString("x"))), 0o755); err != nil {
				t.Fatal(err)
			}
		}, "regular"},
		{"a blob leads out of it", h.good, func(t *testing.T, dir string) {
			if err := os.Symlink(outside, filepath.Join(dir, blobEntry(digest.FromString("secret")))); err != nil {
				t.Skip(err)
			}
		}, "escapes"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			dir := unpackTo(t, tc.items)
			if tc.spoil != nil {
				tc.spoil(t, dir)
			}
			_, err := Open(t.Context(), dir, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("got %v, want something with %q", err, tc.want)
			}
			if !errors.Is(err, ErrDamaged) && tc.want != "escapes" {
				t.Errorf("not ErrDamaged: %v", err)
			}
		})
	}
}

// TestLayoutLimits: as many files as entries, and no more.
func TestLayoutLimits(t *testing.T) {
	h := newHostile()
	dir := unpackTo(t, h.good)
	for _, tc := range []struct {
		name  string
		lower func(*limits)
		ok    bool
	}{
		{"as many blobs as there are", func(l *limits) { l.entries = 3 }, true},
		{"one less", func(l *limits) { l.entries = 2 }, false},
		{"as large", func(l *limits) { l.blob = 1000 }, true},
		{"smaller", func(l *limits) { l.blob = 99 }, false},
	} {
		lim := defaultLimits
		tc.lower(&lim)
		r, err := openDir(dir, lim)
		if err == nil {
			r.Close()
		}
		if (err == nil) != tc.ok || (err != nil && !errors.Is(err, ErrDamaged)) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}
