//go:build linux

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/registrytest"
)

// TestRestarts stops and starts the daemons of a node in every way while pods run. Nothing
// may be lost: the containers are the same, the images are present, and new pods start.
func TestRestarts(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	tarball := calicoTarball(t)
	m := newMachine(t, rebootDisk, "")
	n := m.startNode(t, "")
	n.load(t, tarball)
	images := sorted(n.images(t))
	k := n.startKubelet(t, nil)
	pods := templates(t, calicoManifest)
	k.put(t, pods...)
	before := k.containers(t, pods)

	late := func(name string) pod {
		return newPod(name, container{Image: "docker.io/calico/kube-controllers:" + registrytest.CalicoTag, ImagePullPolicy: "IfNotPresent"})
	}
	for _, row := range []struct {
		name string
		do   func(t *testing.T)
	}{
		{"containerd", n.restart},
		{"containerd killed", func(t *testing.T) {
			if err := n.Kill(); err != nil {
				t.Fatal(err)
			}
			n.restart(t)
		}},
		{"kubelet", k.restart},
		{"kubelet killed", func(t *testing.T) {
			k.kill(t)
			k.start(t)
		}},
	} {
		row.do(t)
		p := late("after-" + strings.ReplaceAll(row.name, " ", "-"))
		k.put(t, p)
		k.waitPod(t, p.Metadata.Name, running)
		if diff := cmp.Diff(before, k.containers(t, pods)); diff != "" {
			t.Errorf("%s: containers (-before +after):\n%s", row.name, diff)
		}
		if diff := cmp.Diff(images, sorted(n.images(t))); diff != "" {
			t.Errorf("%s: images (-before +after):\n%s", row.name, diff)
		}
	}

	// After a power cut the pods start again from the loaded images.
	after := rebooted(t, m)
	if diff := cmp.Diff(images, sorted(after.images(t))); diff != "" {
		t.Errorf("power cut: images (-before +after):\n%s", diff)
	}
	k = after.startKubelet(t, nil)
	k.put(t, pods...)
	k.containers(t, pods)
	k.put(t, late("after-power-cut"))
	k.waitPod(t, "after-power-cut", running)
}

// containers waits until the pods run and returns the ids of their containers by pod.
func (k *kubelet) containers(t *testing.T, pods []pod) map[string][]string {
	t.Helper()
	ids := map[string][]string{}
	for _, p := range pods {
		got := k.waitPod(t, p.Metadata.Name, running)
		for _, c := range got.Status.ContainerStatuses {
			ids[p.Metadata.Name] = append(ids[p.Metadata.Name], c.ContainerID)
		}
	}
	return ids
}

func sorted(names []string) []string {
	slices.Sort(names)
	return names
}
