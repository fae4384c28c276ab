//go:build linux

package node

import (
	"errors"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/node/internal/bundletest"
)

// A name that changes its meaning is a warning that names what uses the former image, and
// NoMove refuses it before anything is written.
func TestMovedNames(t *testing.T) {
	machine, n := connect(t)
	s := newShelf(t)
	run := ocispec.ImageConfig{Entrypoint: []string{"/bin/hello", "sleep"}}
	image := func(more int64) registrytest.Image {
		return registrytest.Image{Config: run, Layers: []*registrytest.Layer{
			registrytest.ProgramLayer(bundletest.Program(t), "bin/hello"), {Files: []registrytest.File{{Name: "f", Size: more}}},
		}}
	}
	name, pause := s.Image("acme/app", "v1", image(1)), s.Sandbox()
	first := s.Bundle(name, pause)
	old := s.Added[name].Digest
	load(t, n, first, LoadOptions{})
	startContainer(t, machine.Runtime(), machine.Dir(), name)

	s.Image("acme/app", "v1", image(2))
	second := s.Bundle(name)
	before := n.take(t)
	_, err := n.Load(t.Context(), second, LoadOptions{NoMove: true})
	var moved *MovedError
	if !errors.As(err, &moved) || len(moved.Moves) != 1 || moved.Moves[0] != (Move{name, old, s.Added[name].Digest}) {
		t.Fatalf("with NoMove: %v", err)
	}
	n.take(t).same(t, before)

	r := load(t, n, second, LoadOptions{})
	var text string
	for _, w := range r.Warnings {
		if w.Kind == WarnMoved {
			text += w.Text
		}
	}
	for _, want := range []string{name, old.String(), s.Added[name].Digest.String(), "pod default/web (container c)"} {
		if !strings.Contains(text, want) {
			t.Errorf("warning %q lacks %q", text, want)
		}
	}
	if r := load(t, n, second, LoadOptions{NoMove: true}); !r.UpToDate() {
		t.Errorf("again: %+v", r)
	}
}

func TestMovedSandboxImage(t *testing.T) {
	_, n := connect(t)
	s := newShelf(t)
	pause := s.Sandbox()
	load(t, n, s.Bundle(pause), LoadOptions{})
	s.Image("pause", "3.10.2", registrytest.Image{Layers: []*registrytest.Layer{{Files: []registrytest.File{{Name: "evil", Size: 1}}}}})
	users := n.users(n.namespaced(t), []Move{{Name: pause}})
	if got := strings.Join(users[pause], ", "); got != "every new pod, as its sandbox image" {
		t.Errorf("users of %s: %q", pause, got)
	}
}

// startContainer starts a container as the kubelet would for the pod default/web.
func startContainer(t *testing.T, runtime cri.RuntimeServiceClient, dir, image string) {
	t.Helper()
	sandbox := &cri.PodSandboxConfig{
		Metadata:     &cri.PodSandboxMetadata{Name: "web", Uid: "web", Namespace: "default"},
		LogDirectory: dir,
		Linux: &cri.LinuxPodSandboxConfig{SecurityContext: &cri.LinuxSandboxSecurityContext{
			NamespaceOptions: &cri.NamespaceOption{Network: cri.NamespaceMode_NODE},
		}},
	}
	pod, err := runtime.RunPodSandbox(t.Context(), &cri.RunPodSandboxRequest{Config: sandbox})
	must(t, err)
	c, err := runtime.CreateContainer(t.Context(), &cri.CreateContainerRequest{
		PodSandboxId: pod.PodSandboxId, SandboxConfig: sandbox,
		Config: &cri.ContainerConfig{
			Metadata: &cri.ContainerMetadata{Name: "c"}, Image: &cri.ImageSpec{Image: image}, LogPath: "c.log",
			Labels: map[string]string{"io.kubernetes.pod.name": "web", "io.kubernetes.pod.namespace": "default"},
		},
	})
	must(t, err)
	_, err = runtime.StartContainer(t.Context(), &cri.StartContainerRequest{ContainerId: c.ContainerId})
	must(t, err)
}
