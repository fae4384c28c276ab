//go:build linux

package e2e

import (
	"path/filepath"
	"testing"
	"time"

	"stowage/internal/registrytest"
)

// TestCluster starts a control plane without a route to anywhere. On two nodes it creates
// everything in examples/calico.yaml, unchanged; then each row of verdicts runs on a node of
// its own.
func TestCluster(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	m := newMachine(t, defaultDisk, "")
	c := m.startCluster(t)
	sandbox := pauseTarball(t)
	t.Run("calico", func(t *testing.T) { calicoOnTwoNodes(t, c, sandbox) })
	for _, row := range verdictRows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.run(t, c, sandbox)
		})
	}
}

// calicoOnTwoNodes creates the objects of the manifest while one node has the images and the
// other has only the sandbox image, which is the control: its pod waits until they are
// loaded.
func calicoOnTwoNodes(t *testing.T, c *cluster, sandbox string) {
	tarball := calicoTarball(t)
	loaded, empty := c.addNode(t, nil), c.addNode(t, nil)
	loaded.load(t, tarball)
	empty.load(t, sandbox)
	loaded.startKubelet(t, nil)
	second := empty.startKubelet(t, nil)

	c.createAll(t, calicoManifest)
	const daemons = "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node"
	c.wait(t, "the DaemonSet on the loaded node", daemons, func(d map[string]any) bool {
		return field(d, "status", "desiredNumberScheduled") == 2.0 && field(d, "status", "numberReady") == 1.0
	})
	second.wait(t, "a pod of the DaemonSet that cannot be pulled", func(pods map[string]pod) bool {
		for _, p := range pods {
			for _, s := range p.Status.InitContainerStatuses {
				if s.State.Waiting != nil && s.State.Waiting.Reason == "ImagePullBackOff" {
					return true
				}
			}
		}
		return false
	})

	empty.load(t, tarball)
	began := time.Now()
	c.wait(t, "the DaemonSet on both nodes", daemons, func(d map[string]any) bool {
		return field(d, "status", "numberReady") == 2.0
	})
	const controllers = "/apis/apps/v1/namespaces/kube-system/deployments/calico-kube-controllers"
	c.wait(t, "the Deployment", controllers, func(d map[string]any) bool {
		return field(d, "status", "readyReplicas") == 1.0
	})
	t.Logf("all pods were ready %v after the load", time.Since(began).Round(time.Second))
}

// pauseTarball returns a bundle of the sandbox image alone.
func pauseTarball(t *testing.T) string {
	t.Helper()
	h := startRegistry(t, registrytest.Policy{})
	addPause(t, h)
	tarball := filepath.Join(t.TempDir(), "sandbox.tar")
	if got := runBundle(t, append([]string{pauseImage, "-o", tarball}, mirrors(h)...)...); got.code != 0 {
		t.Fatalf("bundle: exit %d", got.code)
	}
	return tarball
}
