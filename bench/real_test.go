//go:build linux

package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
)

// TestPackLayer packs files, one of them through a symbolic link to its directory.
func TestPackLayer(t *testing.T) {
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	in := func(name string) string { return filepath.Join(root, name) }
	err = errors.Join(
		os.Mkdir(in("dir"), 0o755), os.Symlink("dir", in("other")),
		os.WriteFile(in("dir/file"), []byte("text"), 0o640), os.Symlink("file", in("dir/link")),
	)
	if err != nil {
		t.Fatal(err)
	}
	l, err := packLayer(t.Context(), []string{in("other/link"), in("dir/file"), in("none"), in("none/file")})
	if err != nil {
		t.Fatal(err)
	}
	z, err := gzip.NewReader(bytes.NewReader(l.gzip))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if l.size != int64(len(plain)) || l.diffID != digest.FromBytes(plain) {
		t.Errorf("%d bytes, %s; want %d, %s", l.size, l.diffID, len(plain), digest.FromBytes(plain))
	}
	var got []string
	for r := tar.NewReader(bytes.NewReader(plain)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		got = append(got, strings.TrimPrefix("/"+h.Name, root)+" "+h.Linkname)
	}
	if len(got) != l.entries {
		t.Errorf("%d entries, want %d", l.entries, len(got))
	}
	if diff := cmp.Diff([]string{"/ ", "/dir/ ", "/dir/file ", "/dir/link file"}, got[slices.Index(got, "/ "):]); diff != "" {
		t.Error(diff)
	}
	if l, err := packLayer(t.Context(), []string{in("none")}); l != nil || err != nil {
		t.Errorf("files that do not exist: %v, %v", l, err)
	}
}

// TestRealOrigin checks that the description names the parts that the machine lacks.
func TestRealOrigin(t *testing.T) {
	layers := make([]*realLayer, len(realParts))
	layers[1] = &realLayer{gzip: make([]byte, 1e6), size: 3e6, entries: 7}
	text := realOrigin(layers)
	for _, want := range []string{"1 layers of this machine's files (Python, Perl and git), 7 entries, 3.00 MB, 1.00 MB with gzip", "; missing: essential Debian packages; Go programs;"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in %q", want, text)
		}
	}
}
