//go:build linux

package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/clitest"
	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
)

// shelf is a registry with images that run.
type shelf struct {
	registry *registrytest.Registry
	names    []string // of the Calico set and the sandbox image
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	s := &shelf{registry: registrytest.Start(t, registrytest.Options{})}
	program, err := registrytest.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	programs := map[string][]byte{runtime.GOARCH: program}
	for _, added := range registrytest.Must(s.registry.AddCalico(registrytest.CalicoOptions{Programs: programs, Compression: registrytest.GzipStored}))(t) {
		s.names = append(s.names, "docker.io/"+added.Repo+":"+added.Tag)
	}
	registrytest.Must(s.registry.AddPause(programs))(t)
	s.names = append(s.names, nodetest.DefaultSandboxImage)
	return s
}

// bundle runs the main job for images and returns the file.
func (s *shelf) bundle(t *testing.T, images ...string) string {
	t.Helper()
	home := t.TempDir()
	for _, v := range []string{"DOCKER_CONFIG", "DOCKER_AUTH_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(v, "")
	}
	if dir, err := nodetest.Tools(); err == nil {
		t.Setenv(nodetest.ToolsVariable, dir) // the default is below HOME
	}
	t.Setenv("HOME", home)
	out := filepath.Join(home, "bundle.tar")
	args := append(images, "-o", out, "--mirror", "docker.io="+s.registry.Host(), "--mirror", "registry.k8s.io="+s.registry.Host())
	var stderr bytes.Buffer
	if code := program().Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &stderr, Err: &stderr}); code != 0 {
		t.Fatalf("bundle %v: code %d\n%s", images, code, stderr.String())
	}
	return out
}

// tool finds a program that reads bundles: in the directory of the test tools, or in PATH.
func tool(t *testing.T, name string) string {
	t.Helper()
	if dir, err := nodetest.Tools(); err == nil {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	path, err := exec.LookPath(name)
	need.Part(t, name, err)
	return path
}

// must runs a program and returns its output.
func must(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestReaders: other programs read the file.
func TestReaders(t *testing.T) {
	s := newShelf(t)
	file := s.bundle(t, s.names...)
	readers := map[string]func(*testing.T, *shelf, string){
		"containerd": containerdReads, "skopeo": skopeoReads, "crane": craneReads, "engines": enginesRead, "tar": tarReads,
	}
	for name, reads := range readers {
		t.Run(name, func(t *testing.T) { reads(t, s, file) })
	}
}

// containerdReads: ctr images import reads the file, and a pod of an image runs.
func containerdReads(t *testing.T, s *shelf, file string) {
	n := nodetest.Start(t)
	if out, err := n.Ctr("images", "import", file); err != nil {
		t.Fatalf("ctr images import: %v\n%s", err, out)
	}
	list, err := n.Ctr("images", "ls", "-q")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range s.names {
		if !strings.Contains(list, name+"\n") {
			t.Errorf("%s is missing in\n%s", name, list)
		}
	}
	out, err := n.RunContainer(t.Context(), s.names[0])
	if err != nil || !strings.Contains(out, "hello from "+s.names[0]) {
		t.Errorf("a pod of %s: %v, output %q", s.names[0], err, out)
	}
}

// TestReadersOfSigned: a bundle holds signatures under tags, and no reader makes an image of
// them.
func TestReadersOfSigned(t *testing.T) {
	load := filepath.Join(clitest.Programs(t), "load")
	s := newShelf(t)
	raw := registrytest.Must(s.registry.Manifest("calico/cni", registrytest.CalicoTag))(t)
	cni := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageIndex, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	registrytest.Must(s.registry.AddCosignTag("calico/cni", cni.Digest))(t)
	registrytest.Must(s.registry.AddReferrer("calico/cni", cni))(t)
	signed := s.registry.Ref("calico/cni", registrytest.CalicoTag)
	file := s.bundle(t, signed, "--referrers")
	r := registrytest.Must(archive.Open(t.Context(), file, nil))(t)
	defer r.Close()
	if img := r.Images()[0]; img.Name != signed || len(img.Referrers) != 2 {
		t.Fatalf("%s with %d referrers, want %s with 2", img.Name, len(img.Referrers), signed)
	}
	t.Run("containerd", func(t *testing.T) {
		n := nodetest.Start(t)
		for _, local := range []string{"--local=false", "--local=true"} {
			if out, err := n.Ctr("images", "import", local, file); err != nil {
				t.Fatalf("ctr images import %s: %v\n%s", local, err, out)
			}
			list, err := n.Ctr("images", "ls", "-q")
			if err != nil {
				t.Fatal(err)
			}
			// The CRI plugin adds the IDs of images, and ctr may print warnings about the machine.
			if got := regexp.MustCompile(`(?m)^(sha256:|time=).*$`).ReplaceAllString(list, ""); strings.TrimSpace(got) != signed {
				t.Errorf("images after import %s: %q, want %q", local, list, signed)
			}
		}
	})
	t.Run("load", func(t *testing.T) {
		n := nodetest.Start(t)
		must(t, load, "--address", n.Address(), file)
		must(t, load, "check", "--address", n.Address(), file)
	})
	t.Run("skopeo", func(t *testing.T) {
		skopeo := tool(t, "skopeo")
		must(t, skopeo, "copy", "--insecure-policy", "docker-archive:"+file+":"+signed, "dir:"+t.TempDir())
		if out := must(t, skopeo, "list-tags", "docker-archive:"+file); strings.Contains(out, "sha256-") {
			t.Errorf("skopeo sees %s", out)
		}
	})
}

// skopeoReads: skopeo finds every name in the file as a docker archive. As an OCI archive it
// finds those with OCI manifests: in a layout it refuses Docker's media types (skopeo issue
// 1975), and a bundle keeps the manifests of the registry unchanged.
func skopeoReads(t *testing.T, s *shelf, file string) {
	skopeo := tool(t, "skopeo")
	var places []string
	for _, name := range s.names {
		places = append(places, "docker-archive:"+file+":"+name)
	}
	places = append(places, "oci-archive:"+file+":docker.io/calico/kube-controllers:"+registrytest.CalicoTag)
	for _, place := range places {
		out := must(t, skopeo, "inspect", place)
		if want := `"Architecture": "` + runtime.GOARCH + `"`; !strings.Contains(out, want) {
			t.Errorf("skopeo inspect %s: no %s in %s", place, want, out)
		}
		must(t, skopeo, "copy", "--insecure-policy", place, "dir:"+t.TempDir())
	}
}

// craneReads: crane reads a bundle of one image and its unpacked layout. crane's library
// reads the layout of several images, whose indexes are sparse.
func craneReads(t *testing.T, s *shelf, several string) {
	crane := tool(t, "crane")
	single := registrytest.Must(s.registry.AddImage("library/single", "v1", registrytest.Image{Layers: registrytest.OddLayers()[:1]}))(t) // crane requires gzip in a tarball
	file := s.bundle(t, "docker.io/single:v1", "--platform", "linux/amd64")
	must(t, crane, "validate", "--tarball", file)
	must(t, crane, "push", unpack(t, file), s.registry.Ref("pushed", "v1"))
	if got := strings.TrimSpace(must(t, crane, "digest", s.registry.Ref("pushed", "v1"))); got != single.Digest.String() {
		t.Errorf("pushed: got %s, want %s", got, single.Digest)
	}

	index, err := layout.ImageIndexFromPath(unpack(t, several))
	if err != nil {
		t.Fatal(err)
	}
	top, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(top.Manifests) != len(s.names) {
		t.Errorf("%d images in the layout, want %d", len(top.Manifests), len(s.names))
	}
	for _, desc := range top.Manifests {
		child, err := index.ImageIndex(desc.Digest)
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := child.IndexManifest()
		if err != nil {
			t.Fatal(err)
		}
		read := 0
		for _, m := range manifest.Manifests {
			if m.Platform == nil || m.Platform.Architecture != runtime.GOARCH {
				continue // a sparse index lacks the others
			}
			img, err := child.Image(m.Digest)
			if err == nil {
				err = validate.Image(img)
			}
			if err != nil {
				t.Errorf("%s: %v", desc.Annotations["io.containerd.image.name"], err)
			}
			read++
		}
		if read != 1 {
			t.Errorf("%s: %d images for %s, want 1", desc.Annotations["io.containerd.image.name"], read, runtime.GOARCH)
		}
	}
}

// unpack unpacks a bundle with tar and returns the directory.
func unpack(t *testing.T, file string) string {
	t.Helper()
	dir := t.TempDir()
	must(t, tool(t, "tar"), "-xf", file, "-C", dir)
	return dir
}

// enginesRead: docker load and podman load, if one of them works here.
func enginesRead(t *testing.T, s *shelf, _ string) {
	for _, engine := range []string{"docker", "podman"} {
		t.Run(engine, func(t *testing.T) {
			path, err := exec.LookPath(engine)
			if err != nil {
				t.Skipf("not run: %v", err)
			}
			if out, err := exec.CommandContext(t.Context(), path, "info").CombinedOutput(); err != nil {
				t.Skipf("not run: %s info: %v\n%s", engine, err, lastLine(out))
			}
			registrytest.Must(s.registry.AddImage("stowage-test/reads", "v1", registrytest.Image{Platform: "linux/" + runtime.GOARCH, Layers: registrytest.OddLayers()[:1]}))(t)
			out := must(t, path, "load", "-i", s.bundle(t, "docker.io/stowage-test/reads:v1"))
			if !strings.Contains(out, "stowage-test/reads:v1") {
				t.Errorf("%s load printed %s", engine, out)
			}
			must(t, path, "rmi", "docker.io/stowage-test/reads:v1")
		})
	}
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}

// tarReads: tar reads every entry, and each is there once.
func tarReads(t *testing.T, _ *shelf, file string) {
	list := strings.Split(strings.TrimSpace(must(t, tool(t, "tar"), "-tf", file)), "\n")
	seen := map[string]bool{}
	for _, name := range list {
		if seen[name] {
			t.Errorf("%s is there twice", name)
		}
		seen[name] = true
	}
	for _, name := range []string{"oci-layout", "index.json", "manifest.json"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
	if _, err := os.Stat(filepath.Join(unpack(t, file), "oci-layout")); err != nil {
		t.Error(err)
	}
}
