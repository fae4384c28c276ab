//go:build linux

package e2e

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// calicoManifest is the manifest of the README.
const calicoManifest = "../../examples/calico.yaml"

// startRegistry runs a registry outside all machines until the test ends.
func startRegistry(t *testing.T, policy registrytest.Policy) *registrytest.Registry {
	t.Helper()
	h, err := registrytest.New(registrytest.Options{Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// mirrors returns flags that make the registry the only one that bundle uses.
func mirrors(h *registrytest.Registry) []string {
	var args []string
	for _, name := range []string{"docker.io", "quay.io", "registry.k8s.io"} {
		args = append(args, "--mirror", name+"="+h.Host())
	}
	return args
}

// addCalico adds the images of examples/calico.yaml and the sandbox image to h.
func addCalico(t *testing.T, h *registrytest.Registry) []registrytest.Added {
	t.Helper()
	program, err := registrytest.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	programs := map[string][]byte{runtime.GOARCH: program}
	set, err := h.AddCalico(registrytest.CalicoOptions{Programs: programs, Archs: []string{runtime.GOARCH}})
	if err != nil {
		t.Fatal(err)
	}
	addPause(t, h)
	return set
}

// calicoTarball returns a bundle of examples/calico.yaml and the sandbox image.
func calicoTarball(t *testing.T) string {
	t.Helper()
	h := startRegistry(t, registrytest.Policy{})
	addCalico(t, h)
	tarball := filepath.Join(t.TempDir(), "calico.tar")
	args := append([]string{"-f", calicoManifest, pauseImage, "-o", tarball}, mirrors(h)...)
	if got := runBundle(t, args...); got.code != 0 {
		t.Fatalf("bundle: exit %d", got.code)
	}
	return tarball
}

// addPause adds the sandbox image to h, as [pauseImage].
func addPause(t *testing.T, h *registrytest.Registry) {
	t.Helper()
	program, err := registrytest.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.AddPause(map[string][]byte{runtime.GOARCH: program}); err != nil {
		t.Fatal(err)
	}
}

// pauseImage is the name of the sandbox image in containerd's configuration.
const pauseImage = nodetest.DefaultSandboxImage

// shape is the size of an image of addChecked.
type shape struct {
	layers, files, bytes int // files per layer, bytes per file
}

// addChecked adds an image that can verify itself: it runs filecheck with a list of all its
// files. seed determines the content.
func addChecked(t *testing.T, h *registrytest.Registry, repo, tag string, seed uint64, s shape) registrytest.Added {
	t.Helper()
	program, err := os.ReadFile(programs(t).filecheck)
	if err != nil {
		t.Fatal(err)
	}
	img := registrytest.Image{
		Platform: "linux/" + runtime.GOARCH,
		Config:   ocispec.ImageConfig{Entrypoint: []string{"/bin/filecheck"}},
		Layers:   []*registrytest.Layer{registrytest.ProgramLayer(program, "bin/filecheck")},
	}
	random := rand.New(rand.NewPCG(seed, 0))
	var list strings.Builder
	fmt.Fprintf(&list, "%x  bin/filecheck\n", sha256.Sum256(program))
	for i := range s.layers {
		dir := fmt.Sprintf("data/%d/", i)
		layer := &registrytest.Layer{Compression: registrytest.GzipStored, Files: []registrytest.File{{Name: "data/"}, {Name: dir}}}
		for j := range s.files {
			body := make([]byte, s.bytes)
			for at := 0; at+8 <= len(body); at += 8 {
				v := random.Uint64()
				for k := range 8 {
					body[at+k] = byte(v >> (8 * k))
				}
			}
			name := fmt.Sprintf("%sf%d", dir, j)
			layer.Files = append(layer.Files, registrytest.File{Name: name, Body: body})
			fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(body), name)
		}
		img.Layers = append(img.Layers, layer)
	}
	img.Layers = append(img.Layers, &registrytest.Layer{Files: []registrytest.File{{Name: "files.sha256", Body: []byte(list.String())}}})
	added, err := h.AddImage(repo, tag, img)
	if err != nil {
		t.Fatal(err)
	}
	return added
}
