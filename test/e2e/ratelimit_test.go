//go:build linux

package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stowage/internal/registrytest"
)

// TestRateLimitedNode reproduces the problem that bundle and load solve: a node that pulls
// by itself reaches the anonymous limit, and its pod does not start. The account is in the
// cluster's manifests. After bundle and load the same pod starts on the same kubelet,
// without another request to the registry.
func TestRateLimitedNode(t *testing.T) {
	t.Parallel()
	requireMachine(t)
	const allowed = 1 // anonymous pulls: fewer than the two of one image
	account := registrytest.Account{User: "operator", Password: "secret-of-the-operator", Quota: 100}
	m := newMachine(t, defaultDisk, "")
	// The registry listens inside: this node can reach it, and nothing else.
	var h *registrytest.Registry
	var err error
	m.do(func() {
		h, err = registrytest.New(registrytest.Options{Policy: registrytest.Policy{
			Auth: registrytest.AuthBearer, Accounts: []registrytest.Account{account}, AnonymousQuota: allowed,
		}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	addCalico(t, h)

	n := m.startNode(t, hostsConfig(t, m.path("certs.d"), h.URL(), "docker.io"))
	k := n.startKubelet(t, nil)
	// Every node has the sandbox image, so its pulls do not count here.
	n.load(t, bundleInside(t, m, account, h, "sandbox.tar", pauseImage))
	h.Reset()
	h.SetUsed(account.User, 0)

	p := newPod("calico", container{Image: "docker.io/calico/node:" + registrytest.CalicoTag, ImagePullPolicy: "IfNotPresent", Command: []string{"start_runit"}})
	k.put(t, p)
	hanging := k.waitPod(t, p.Metadata.Name, waitsFor("ImagePullBackOff"))
	message := hanging.Status.ContainerStatuses[0].State.Waiting.Message
	if !strings.Contains(message, "429") || !strings.Contains(message, "toomanyrequests") {
		t.Errorf("the pod waits with %q, want status 429 and toomanyrequests in it", message)
	}
	if got := h.Counts(); got.TooMany == 0 || h.Used("") != allowed {
		t.Errorf("the registry refused %d times and counted %d anonymous pulls, want some and %d", got.TooMany, h.Used(""), allowed)
	}

	yaml := m.path("site.yaml")
	p.Spec.ImagePullSecrets = []named{{"regcred"}} // a kubelet refuses this in its own static pods
	manifest(t, yaml, pullSecret(t, "regcred", account, h.Host()), any(p))
	tarball := bundleInside(t, m, registrytest.Account{}, h, "site.tar", "-f", yaml)
	if got := h.Used(account.User); got != 2 {
		t.Errorf("%d pulls counted for the account, want 2: index and manifest", got)
	}
	n.load(t, tarball)
	quiet := len(h.Log())
	// The kubelet's next attempt finds the image and sends no request.
	k.waitPod(t, p.Metadata.Name, running)
	for _, e := range h.Log()[quiet:] {
		t.Errorf("request after the load: %s", e)
	}
}

// hostsConfig configures a node's containerd to pull images of registries from another one
// (docs/hosts.md of containerd), with files below dir.
func hostsConfig(t *testing.T, dir, url string, names ...string) string {
	t.Helper()
	text := fmt.Sprintf("server = %q\n[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", url, url)
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "hosts.toml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if olderContainerd() {
		return fmt.Sprintf("[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = %q\n", dir)
	}
	return fmt.Sprintf("[plugins.\"io.containerd.cri.v1.images\".registry]\nconfig_path = %q\n", dir)
}

// pullSecret returns the secret that "kubectl create secret docker-registry" creates.
func pullSecret(t *testing.T, name string, a registrytest.Account, server string) any {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"auths": map[string]any{server: map[string]string{"username": a.User, "password": a.Password}}})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
		"metadata": metadata{Name: name, Namespace: "default"},
		"data":     map[string]string{".dockerconfigjson": base64.StdEncoding.EncodeToString(raw)},
	}
}

// bundleInside writes a bundle where the registry is. An account, if any, comes from a
// file, not from the manifests.
func bundleInside(t *testing.T, m *machine, a registrytest.Account, h *registrytest.Registry, name string, args ...string) string {
	t.Helper()
	tarball := m.path(name)
	args = append([]string{"--progress", "none", "-o", tarball}, append(args, mirrors(h)...)...)
	if a.User != "" {
		password := tarball + ".password"
		if err := os.WriteFile(password, []byte(a.Password), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--creds", h.Host()+"="+a.User+":@"+password)
	}
	cmd := m.command(programs(t).bundle, args...)
	cmd.Env = withoutAccounts(t.TempDir())
	if got := m.runCommand(t, cmd); got.code != 0 {
		t.Fatalf("bundle: exit %d", got.code)
	}
	return tarball
}
