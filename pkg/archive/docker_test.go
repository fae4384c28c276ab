package archive

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
)

// dockerTar writes a tarball as docker save did: entries are name, content pairs; a
// content "-> X" is a link.
func dockerTar(t *testing.T, entries ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "saved.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	for i := 0; i < len(entries); i += 2 {
		h := &tar.Header{Name: entries[i], Typeflag: tar.TypeReg, Size: int64(len(entries[i+1])), Mode: 0o644}
		if to, ok := strings.CutPrefix(entries[i+1], "-> "); ok {
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, to, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := io.WriteString(w, entries[i+1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// dockerConfig is a config of the layers.
func dockerConfig(t *testing.T, layers ...string) string {
	t.Helper()
	var ids []string
	for _, l := range layers {
		ids = append(ids, digest.FromString(l).String())
	}
	raw, err := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"type": "layers", "diff_ids": ids}})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func gzipped(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, s) // a buffer takes everything
	w.Close()
	return b.String()
}

func TestOpenDocker(t *testing.T) {
	config := dockerConfig(t, "one", "two")
	other := dockerConfig(t, "one")
	path := dockerTar(t,
		"a/layer.tar", "one", "b/layer.tar", "-> ../a/layer.tar", "c.tar.gz", gzipped("two"), "a/VERSION", "1.0",
		"x.json", config, "y.json", other,
		"manifest.json", `[{"Config":"x.json","RepoTags":["busybox:1","quay.io/a/b:2"],"Layers":["a/layer.tar","c.tar.gz"]},
			{"Config":"y.json","RepoTags":["acme/app:v1"],"Layers":["b/layer.tar"]},{"Config":"y.json","RepoTags":null,"Layers":["b/layer.tar"]}]`)
	if _, err := Open(t.Context(), path, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("as a layout: %v", err)
	}
	r, err := openDocker(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var names []string
	for _, i := range r.Images() {
		names = append(names, i.Name)
	}
	if got, want := strings.Join(names, " "), "docker.io/library/busybox:1 quay.io/a/b:2 docker.io/acme/app:v1"; got != want {
		t.Errorf("names %s, want %s", got, want)
	}
	if len(r.Blobs()) != 6 || r.Native() {
		t.Errorf("%d blobs, want 2 configs, 2 manifests, 2 layers", len(r.Blobs()))
	}
	if err := r.Verify(t.Context(), 1, nil); err != nil {
		t.Error(err)
	}
	if raw, err := r.Metadata(digest.FromString(config)); err != nil || string(raw) != config {
		t.Errorf("config: %q, %v", raw, err)
	}
}

func TestOpenDockerRefuses(t *testing.T) {
	config := dockerConfig(t, "one")
	manifest := `[{"Config":"x.json","RepoTags":["a:1"],"Layers":["l.tar"]}]`
	for name, entries := range map[string][]string{
		"a changed layer":           {"l.tar", "two", "x.json", config, "manifest.json", manifest},
		"no layer":                  {"x.json", config, "manifest.json", manifest},
		"no config":                 {"l.tar", "one", "manifest.json", manifest},
		"no manifest.json":          {"l.tar", "one", "x.json", config},
		"manifest.json is not JSON": {"l.tar", "one", "x.json", config, "manifest.json", "[{"},
		"a tag that is an id":       {"l.tar", "one", "x.json", config, "manifest.json", strings.Replace(manifest, "a:1", digest.FromString("x").String(), 1)},
		"a link that leads out":     {"l.tar", "-> ../../etc/passwd", "x.json", config, "manifest.json", manifest},
		"a link to itself":          {"l.tar", "-> l.tar", "x.json", config, "manifest.json", manifest},
		"two layers for one":        {"l.tar", "one", "x.json", dockerConfig(t, "one", "one"), "manifest.json", manifest},
		"an entry twice":            {"l.tar", "one", "l.tar", "one", "x.json", config, "manifest.json", manifest},
		"a layout as well":          {"l.tar", "one", "x.json", config, "manifest.json", manifest, "index.json", "{}"},
	} {
		if r, err := openDocker(dockerTar(t, entries...)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
			if err == nil {
				r.Close()
			}
		}
	}
	whole, err := os.ReadFile(dockerTar(t, "l.tar", "one", "x.json", config, "manifest.json", manifest))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "cut.tar")
	for at := 0; at < len(whole); at += 128 {
		if err := os.WriteFile(path, whole[:at], 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := openDocker(path); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut at %d: %v", at, err)
			if err == nil {
				r.Close()
			}
		}
	}
}
