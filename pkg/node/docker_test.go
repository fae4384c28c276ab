//go:build linux

package node

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"stowage/pkg/archive"
)

// dockerSave writes an image of the shelf as docker save did before version 25, but with
// compressed layers, as other programs write them.
func (s *shelf) dockerSave(name string) string {
	s.T.Helper()
	path := filepath.Join(s.T.TempDir(), "saved.tar")
	f, err := os.Create(path)
	must(s.T, err)
	defer f.Close()
	w := tar.NewWriter(f)
	put := func(entry string, raw []byte) {
		must(s.T, w.WriteHeader(&tar.Header{Name: entry, Typeflag: tar.TypeReg, Size: int64(len(raw)), Mode: 0o644}))
		_, err := w.Write(raw)
		must(s.T, err)
	}
	blob := func(d digest.Digest) []byte {
		r, err := s.Registry.Blob(s.Added[name].Repo, d)
		must(s.T, err)
		raw, err := io.ReadAll(r)
		must(s.T, err)
		return raw
	}
	m := s.manifest(name)
	var layers []string
	for i, l := range m.Layers {
		layers = append(layers, fmt.Sprintf("%d/layer.tar", i))
		put(layers[i], blob(l.Digest))
	}
	put("config.json", blob(m.Config.Digest))
	raw, err := json.Marshal([]any{map[string]any{"Config": "config.json", "RepoTags": []string{name}, "Layers": layers}})
	must(s.T, err)
	put("manifest.json", raw)
	must(s.T, w.Close())
	return path
}

func TestDockerArchiveRuns(t *testing.T) {
	t.Parallel()
	machine, n := connect(t)
	s := newShelf(t)
	name := s.Hello("acme/hello", "v1")
	b, err := archive.Open(t.Context(), s.dockerSave(name), &archive.OpenOptions{Docker: true})
	must(t, err)
	defer b.Close()
	load(t, n, s.Bundle(s.Sandbox()), LoadOptions{})
	r := load(t, n, b, LoadOptions{})
	if i := r.Images[0]; i.Name != name || i.Status != Loaded || i.CRI != Ready || i.Image != s.manifest(name).Config.Digest {
		t.Errorf("report: %+v", i)
	}
	if r := load(t, n, b, LoadOptions{}); !r.UpToDate() {
		t.Errorf("again: %+v", r)
	}
	if out, err := machine.RunContainer(t.Context(), name); err != nil || out != "hello from acme/hello\n" {
		t.Errorf("container: %q, %v", out, err)
	}
}
