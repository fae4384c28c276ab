//go:build linux

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stowage/internal/need"
)

// patience is the time limit for everything that a kubelet does. It works in steps of
// seconds, and a machine that builds and tests at the same time is slow.
const patience = 2 * time.Minute

// readOnlyPort is the port with the status of the kubelet's pods. Every machine has its own
// ports.
const readOnlyPort = 10255

// settings are fields of a KubeletConfiguration (kubelet.config.k8s.io/v1beta1).
type settings map[string]any

// kubelet is a kubelet without an API server: its pods are the files in a directory.
type kubelet struct {
	node    *node
	config  string
	program string
	client  *http.Client
	process *process
}

// startKubelet starts a kubelet on the node, which stops with the machine. extra overrides
// the settings that every kubelet of these tests has.
func (n *node) startKubelet(t *testing.T, extra settings) *kubelet {
	t.Helper()
	program, err := kubeletProgram()
	if err != nil {
		need.Missing(t, err)
	}
	k := &kubelet{node: n, program: program, config: n.machine.path("kubelet.json")}
	k.client = &http.Client{Transport: &http.Transport{DialContext: n.machine.dial}, Timeout: 10 * time.Second}
	for _, dir := range []string{k.podDir(), k.logDir()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.MarshalIndent(k.settings(extra), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(k.config, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		k.client.CloseIdleConnections()
		if t.Failed() {
			t.Logf("what the kubelet complains of:\n%s", k.complaints(40))
		}
	})
	k.start(t)
	n.machine.before = append(n.machine.before, k.stop)
	return k
}

// path returns the path of a file in the machine's temporary directory.
func (m *machine) path(name string) string { return filepath.Join(m.dir, name) }

func (k *kubelet) podDir() string  { return k.node.machine.path("manifests") }
func (k *kubelet) logDir() string  { return k.node.machine.path("pods") }
func (k *kubelet) logFile() string { return k.node.machine.path("kubelet.log") }

// settings returns settings of a kubelet that needs only containerd: no API server, no CNI,
// no swap or cgroup requirements, no iptables.
func (k *kubelet) settings(extra settings) settings {
	s := settings{
		"kind": "KubeletConfiguration", "apiVersion": "kubelet.config.k8s.io/v1beta1",
		"staticPodPath":               k.podDir(),
		"podLogsDir":                  k.logDir(),
		"containerRuntimeEndpoint":    "unix://" + k.node.Address(),
		"readOnlyPort":                readOnlyPort,
		"address":                     "127.0.0.1",
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
		"volumePluginDir":             k.node.machine.path("plugins"),
		"fileCheckFrequency":          "1s",
		"syncFrequency":               "2s",
		"imageGCHighThresholdPercent": 100,
		"evictionHard":                settings{"memory.available": "1Mi"},
	}
	maps.Copy(s, extra)
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
	root := filepath.Join(k.node.machine.diskDir(), "kubelet")
	cmd := k.node.machine.command(k.program, "--config", k.config, "--root-dir", root, "--cert-dir", root+"/pki", "--hostname-override", "node", "--v", "2")
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

// put adds a static pod. It renames the complete file: the kubelet reads every file whose
// name does not begin with a dot.
func (k *kubelet) put(t *testing.T, pods ...pod) {
	t.Helper()
	for _, p := range pods {
		hiddenName := filepath.Join(k.podDir(), "."+p.Metadata.Name)
		manifest(t, hiddenName, p)
		if err := os.Rename(hiddenName, filepath.Join(k.podDir(), p.Metadata.Name+".json")); err != nil {
			t.Fatal(err)
		}
	}
}

// pods returns the kubelet's pods by the names in their files, to which the kubelet appends
// the node's name.
func (k *kubelet) pods(ctx context.Context) (map[string]pod, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/pods", readOnlyPort), nil)
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
	var list struct{ Items []pod }
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, err
	}
	pods := map[string]pod{}
	for _, p := range list.Items {
		pods[strings.TrimSuffix(p.Metadata.Name, "-node")] = p
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
	files, err := filepath.Glob(filepath.Join(k.logDir(), "*_"+name+"-node_*", "*", "*.log"))
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

// complaints returns the last errors and warnings in the kubelet's log (klog marks them
// with the first letter).
func (k *kubelet) complaints(lines int) string {
	raw, err := os.ReadFile(k.logFile())
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
