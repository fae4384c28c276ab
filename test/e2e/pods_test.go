//go:build linux

package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTemplates checks the pods of the workloads in the example.
func TestTemplates(t *testing.T) {
	type image struct{ container, name, policy string }
	got := map[string][]image{}
	for _, p := range templates(t, calicoManifest) {
		for _, c := range append(p.Spec.InitContainers, p.Spec.Containers...) {
			got[p.Metadata.Name] = append(got[p.Metadata.Name], image{c.Name, c.Image, c.ImagePullPolicy})
		}
		if !p.Spec.HostNetwork || p.Kind != "Pod" {
			t.Errorf("%s: kind %s, host network %v", p.Metadata.Name, p.Kind, p.Spec.HostNetwork)
		}
	}
	const cni, node = "docker.io/calico/cni:v3.28.0", "docker.io/calico/node:v3.28.0"
	want := map[string][]image{
		"calico-node": {
			{"upgrade-ipam", cni, "IfNotPresent"},
			{"install-cni", cni, "IfNotPresent"},
			{"mount-bpffs", node, "IfNotPresent"},
			{"calico-node", node, "IfNotPresent"},
		},
		"calico-kube-controllers": {
			{"calico-kube-controllers", "docker.io/calico/kube-controllers:v3.28.0", "IfNotPresent"},
		},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(image{})); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

// TestConditions checks which states satisfy which condition.
func TestConditions(t *testing.T) {
	state := func(set func(*containerStatus)) containerStatus {
		var c containerStatus
		set(&c)
		return c
	}
	up := state(func(c *containerStatus) { c.State.Running = &struct{}{} })
	good := state(func(c *containerStatus) { c.State.Terminated = &reason{} })
	bad := state(func(c *containerStatus) { c.State.Terminated = &reason{ExitCode: 1} })
	hangs := state(func(c *containerStatus) { c.State.Waiting = &reason{Reason: "ImagePullBackOff"} })
	base := podOf("p", podSpec{InitContainers: []container{{Name: "i"}}, Containers: []container{{Name: "c"}}})
	for _, row := range []struct {
		name                        string
		status                      podStatus
		running, succeeded, backOff bool
	}{
		{"nothing known", podStatus{}, false, false, false},
		{"up", podStatus{"Running", []containerStatus{good}, []containerStatus{up}}, true, false, false},
		{"init container not reported", podStatus{"Running", nil, []containerStatus{up}}, false, false, false},
		{"init container runs", podStatus{"Pending", []containerStatus{up}, []containerStatus{hangs}}, false, false, true},
		{"init container failed", podStatus{"Running", []containerStatus{bad}, []containerStatus{up}}, false, false, false},
		{"hangs", podStatus{"Pending", []containerStatus{good}, []containerStatus{hangs}}, false, false, true},
		{"ended", podStatus{"Succeeded", []containerStatus{good}, []containerStatus{good}}, false, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := base
			p.Status = row.status
			got := []bool{running(p), succeeded(p), waitsFor("ImagePullBackOff")(p)}
			if diff := cmp.Diff([]bool{row.running, row.succeeded, row.backOff}, got); diff != "" {
				t.Errorf("running, succeeded, back-off (-want +got):\n%s", diff)
			}
		})
	}
}
