//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stowage/internal/need"
)

// patience is the time limit for everything that a kubelet does. It works in steps of
// seconds, and a machine that builds and tests at the same time is slow.
const patience = 2 * time.Minute

// readOnlyPort is the port with the status of the kubelet's pods and its metrics. Every
// machine has its own ports.
const readOnlyPort = 10255

// settings are fields of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1).
type settings map[string]any

// kubelet is the kubelet of a node. Without an API server its pods are the files in a
// directory.
type kubelet struct {
	node    *node
	config  string
	program string
	version string // such as "1.35.4"
	client  *http.Client
	process *process
}

// startKubelet starts a kubelet on the node, which stops with the machine. extra overrides
// the settings that every kubelet of these tests has.
func (n *node) startKubelet(t *testing.T, extra settings) *kubelet {
	t.Helper()
	program, version, err := kubeletProgram()
	if err != nil {
		need.Missing(t, err)
	}
	k := &kubelet{node: n, program: program, version: version, config: n.path("kubelet.json")}
	k.client = &http.Client{Transport: &http.Transport{DialContext: n.machine.dial}, Timeout: patience}
	for _, dir := range []string{k.podDir(), k.logDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	k.configure(t, extra)
	t.Cleanup(func() {
		k.client.CloseIdleConnections()
		if t.Failed() {
			t.Logf("what the kubelet of %s complains of:\n%s", n.site.name, k.complaints(40))
		}
	})
	k.start(t)
	n.machine.before = append(n.machine.before, k.stop)
	if n.cluster != nil {
		n.cluster.wait(t, "node "+n.site.name, "/api/v1/nodes/"+n.site.name, ready)
	}
	return k
}

// configure writes the configuration of the kubelet's next start.
func (k *kubelet) configure(t *testing.T, extra settings) {
	t.Helper()
	raw, err := json.MarshalIndent(k.settings(extra), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.config, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// path returns the path of a file in the machine's temporary directory.
func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (k *kubelet) podDir() string  { return k.node.path("manifests") }
func (k *kubelet) logDir() string  { return k.node.path("pods") }
func (k *kubelet) logFile() string { return k.node.path("kubelet.log") }

// minor returns the second number of the kubelet's version: 35 of "1.35.4".
func (k *kubelet) minor() int {
	minor, _ := strconv.Atoi(strings.Split(k.version, ".")[1])
	return minor
}

// settings returns settings of a kubelet that needs only containerd: no CNI, no swap or
// cgroup requirements, no iptables.
func (k *kubelet) settings(extra settings) settings {
	s := settings{
		"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
		"staticPodPath":               k.podDir(),
		"podLogsDir":                  k.logDir(),
		"containerRuntimeEndpoint":    "unix://" + k.node.Address(),
		"readOnlyPort":                readOnlyPort,
		"address":                     k.node.site.address,
		"healthzBindAddress":          k.node.site.address,
		"authentication":              settings{"anonymous": settings{"enabled": true}, "webhook": settings{"enabled": false}},
		"authorization":               settings{"mode": "AlwaysAllow"},
		"cgroupDriver":                "cgroupfs",
		"cgroupsPerQOS":               false,
		"enforceNodeAllocatable":      []string{},
		"failCgroupV1":                false,
		"failSwapOn":                  false,
		"makeIPTablesUtilChains":      false,
		"oomScoreAdj":                 0,
		"resolvConf":                  "",
		"volumePluginDir":             k.node.path("plugins"),
		"fileCheckFrequency":          "1s",
		"syncFrequency":               "2s",
		"imageGCHighThresholdPercent": 100,
		"evictionHard":                settings{"memory.available": "1Mi"},
	}
	maps.Copy(s, extra)
	if k.minor() < 35 {
		s["featureGates"] = map[string]bool{"ImageVolume": true} // on by default since then
		delete(s, "imagePullCredentialsVerificationPolicy")      // refused without its feature gate
	}
	return s
}

// start runs the kubelet and waits until it answers.
func (k *kubelet) start(t *testing.T) {
	t.Helper()
	log, err := os.OpenFile(k.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	root := k.node.root("kubelet")
	args := []string{"--config", k.config, "--root-dir", root, "--cert-dir", root + "/pki", "--hostname-override", k.node.site.name, "--v", "2"}
	if c := k.node.cluster; c != nil {
		args = append(args, "--kubeconfig", c.kubeconfig(k.node.site.name), "--node-ip", k.node.site.address)
	}
	cmd := k.node.machine.command(k.program, args...)
	cmd.Stdout, cmd.Stderr = log, log
	if k.process, err = k.node.machine.startInside(cmd); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		if _, err := k.pods(ctx); err == nil {
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-k.process.ended:
			t.Fatalf("the kubelet exited during its start:\n%s", k.complaints(40))
		case <-ctx.Done():
			t.Fatalf("the kubelet does not answer: %v", ctx.Err())
		}
	}
}

// restart stops the kubelet and starts it again.
func (k *kubelet) restart(t *testing.T) {
	t.Helper()
	if err := k.stop(); err != nil {
		t.Fatal(err)
	}
	k.start(t)
}

// kill kills the kubelet; its pods continue to run.
func (k *kubelet) kill(t *testing.T) {
	t.Helper()
	if err := k.process.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-k.process.ended
}

// stop stops the kubelet; its pods continue to run.
func (k *kubelet) stop() error {
	k.process.cmd.Process.Signal(syscall.SIGTERM) // if it has exited, the channel is closed
	select {
	case <-k.process.ended:
		return nil
	case <-time.After(patience):
		return errors.New("the kubelet does not exit")
	}
}

// put adds pods to the node: through the API server, or else as static pods. It renames the
// complete file: the kubelet reads every file whose name does not begin with a dot.
func (k *kubelet) put(t *testing.T, pods ...pod) {
	t.Helper()
	for _, p := range pods {
		if c := k.node.cluster; c != nil {
			p.Spec.NodeName = k.node.site.name
			c.create(t, p)
			continue
		}
		hiddenName := filepath.Join(k.podDir(), "."+p.Metadata.Name)
		manifest(t, hiddenName, p)
		if err := os.Rename(hiddenName, filepath.Join(k.podDir(), p.Metadata.Name+".json")); err != nil {
			t.Fatal(err)
		}
	}
}

// remove deletes a pod of put and waits until the kubelet no longer has it.
func (k *kubelet) remove(t *testing.T, p pod) {
	t.Helper()
	if c := k.node.cluster; c != nil {
		c.remove(t, p)
	} else if err := os.Remove(filepath.Join(k.podDir(), p.Metadata.Name+".json")); err != nil {
		t.Fatal(err)
	}
	k.wait(t, "the end of pod "+p.Metadata.Name, func(pods map[string]pod) bool {
		_, there := pods[p.Metadata.Name]
		return !there
	})
}

// get reads from the kubelet's read-only port.
func (k *kubelet) get(ctx context.Context, path string) ([]byte, error) {
	url := fmt.Sprintf("http://%s:%d%s", k.node.site.address, readOnlyPort, path)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := k.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errors.New(resp.Status)
	}
	return io.ReadAll(resp.Body)
}

// pods returns the kubelet's pods by name. To the names of static pods the kubelet appends
// the node's name.
func (k *kubelet) pods(ctx context.Context) (map[string]pod, error) {
	raw, err := k.get(ctx, "/pods")
	if err != nil {
		return nil, err
	}
	var list struct{ Items []pod }
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	pods := map[string]pod{}
	for _, p := range list.Items {
		pods[strings.TrimSuffix(p.Metadata.Name, "-"+k.node.site.name)] = p
	}
	return pods, nil
}

// wait waits until the pods satisfy a condition.
func (k *kubelet) wait(t *testing.T, what string, good func(map[string]pod) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var last map[string]pod
	for {
		pods, err := k.pods(ctx)
		if err == nil && good(pods) {
			return
		}
		if err == nil {
			last = pods
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-k.process.ended:
			t.Fatalf("wait for %s: the kubelet has exited", what)
		case <-ctx.Done():
			raw, _ := json.MarshalIndent(last, "", " ") // cannot fail
			t.Fatalf("wait for %s: %v; last seen:\n%s", what, ctx.Err(), raw)
		}
	}
}

// waitPod waits until a pod satisfies a condition and returns its status.
func (k *kubelet) waitPod(t *testing.T, name string, good func(pod) bool) pod {
	t.Helper()
	var found pod
	k.wait(t, "pod "+name, func(pods map[string]pod) bool {
		p, there := pods[name]
		found = p
		return there && good(p)
	})
	return found
}

// output returns what a pod's containers have printed so far, without the line prefixes of
// a CRI log (time, stream and tag).
func (k *kubelet) output(t *testing.T, name string) string {
	t.Helper()
	if k.node.cluster == nil {
		name += "-" + k.node.site.name // a static pod
	}
	files, err := filepath.Glob(filepath.Join(k.logDir(), "*_"+name+"_*", "*", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(raw)) {
			if parts := strings.SplitN(line, " ", 4); len(parts) == 4 {
				b.WriteString(parts[3])
			}
		}
	}
	return b.String()
}

// complaints returns the last errors and warnings in the kubelet's log.
func (k *kubelet) complaints(lines int) string { return complaints(k.logFile(), lines) }

// complaints returns the last errors and warnings in a log of Kubernetes (klog marks them
// with the first letter).
func complaints(path string, lines int) string {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	var kept []string
	for line := range strings.Lines(string(raw)) {
		if !strings.HasPrefix(line, "I") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept[max(0, len(kept)-lines):], "")
}
