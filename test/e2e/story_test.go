//go:build linux

package e2e

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"stowage/internal/registrytest"
)

// assertCutOff checks that the machine cannot reach anything outside: neither a server that
// answers outside nor any other address.
func assertCutOff(t *testing.T, m *machine, h *registrytest.Registry) {
	t.Helper()
	outside, err := net.Dial("tcp", h.Host())
	if err != nil {
		t.Fatalf("the registry does not answer outside: %v", err)
	}
	outside.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	for _, row := range []struct {
		name, address string
		want          error
	}{
		{"the registry", h.Host(), syscall.ECONNREFUSED},
		{"a public address", "192.0.2.1:443", syscall.ENETUNREACH}, // RFC 5737: reserved
	} {
		conn, err := m.dial(ctx, "tcp", row.address)
		if err == nil {
			conn.Close()
		}
		if !errors.Is(err, row.want) {
			t.Fatalf("dial %s (%s) inside: %v, want %v", row.name, row.address, err, row.want)
		}
	}
}

// TestPodsRunWithoutNetwork is the main test: a kubelet needs only what bundle found in the
// manifests and load transferred.
func TestPodsRunWithoutNetwork(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	m := newMachine(t, defaultDisk, "")
	h := startRegistry(t, registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: 100})
	set := addCalico(t, h)
	addChecked(t, h, "site/data", "1.0", 1, shape{layers: 1, files: 20, bytes: 4096})
	assertCutOff(t, m, h)

	calico := templates(t, calicoManifest)
	if len(calico) != 2 {
		t.Fatalf("%d workloads in %s, want 2", len(calico), calicoManifest)
	}
	node, controllers := "docker.io/"+set[1].Repo, "docker.io/"+set[2].Repo
	extra := []pod{
		newPod("never-by-digest", container{Image: node + "@" + set[1].Digest.String(), ImagePullPolicy: "Never", Command: []string{"start_runit"}}),
		newPod("tag-and-digest", container{Image: controllers + ":" + registrytest.CalicoTag + "@" + set[2].Digest.String(), ImagePullPolicy: "IfNotPresent"}),
	}
	if !olderContainerd() { // image volumes are new in containerd 2.1
		extra = append(extra, imageVolumePod("docker.io/site/data:1.0"))
	}
	dir := t.TempDir()
	manifest(t, filepath.Join(dir, "extra.yaml"), extra...)
	tarball := filepath.Join(dir, "all.tar")
	args := append([]string{"-f", calicoManifest, "-f", filepath.Join(dir, "extra.yaml"), pauseImage, "-o", tarball}, mirrors(h)...)
	if got := runBundle(t, args...); got.code != 0 {
		t.Fatalf("bundle: exit %d", got.code)
	}
	h.Reset()

	n := m.startNode(t, "")
	if names := n.images(t); len(names) != 0 {
		t.Fatalf("a new node has images: %q", names)
	}
	n.load(t, tarball)
	k := n.startKubelet(t, nil)
	absent := newPod("absent", container{Image: "docker.io/library/absent:1.0", ImagePullPolicy: "IfNotPresent"})
	k.put(t, append(slices.Concat(calico, extra), absent)...)

	for _, p := range calico {
		k.waitPod(t, p.Metadata.Name, running)
	}
	k.waitPod(t, "never-by-digest", running)
	k.waitPod(t, "tag-and-digest", running)
	if !olderContainerd() {
		k.waitPod(t, "image-volume", succeeded)
		if got := k.output(t, "image-volume"); got != "intact: 21 files\n" {
			t.Errorf("the reader of the image volume printed %q", got)
		}
	}
	if got, want := k.output(t, "calico-node"), "hello from docker.io/calico/cni:"+registrytest.CalicoTag; !strings.Contains(got, want) {
		t.Errorf("the init containers printed %q, want %q among it", got, want)
	}
	// The control: the same kubelet cannot get an image that was not in the bundle.
	k.waitPod(t, "absent", waitsFor("ImagePullBackOff"))
	assertRunning(t, n, map[string]int{"calico-node": 1, "calico-kube-controllers": 1, "never-by-digest": 1, "tag-and-digest": 1, "absent": 0, "image-volume": 0})
	if c := h.Counts(); c.Requests != 0 {
		t.Errorf("%d requests to the registry after bundle had exited", c.Requests)
	}
}

// imageVolumePod returns a pod that checks the files of an image that it mounts instead of
// running. The program is in the same image.
func imageVolumePod(ref string) pod {
	p := newPod("image-volume", container{
		Image: ref, ImagePullPolicy: "Never", Args: []string{"/mnt"},
		VolumeMounts: []mount{{Name: "data", MountPath: "/mnt"}},
	})
	p.Spec.RestartPolicy = "Never"
	p.Spec.Volumes = []volume{{Name: "data", Image: &imageVolume{Reference: ref, PullPolicy: "IfNotPresent"}}}
	return p
}
