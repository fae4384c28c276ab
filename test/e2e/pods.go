//go:build linux

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
)

// pod is the part of a v1 Pod that these tests write and read.
type pod struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Metadata   metadata  `json:"metadata"`
	Spec       podSpec   `json:"spec"`
	Status     podStatus `json:"status,omitzero"`
}

type metadata struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
}

type podSpec struct {
	NodeName         string      `json:"nodeName,omitempty"`
	HostNetwork      bool        `json:"hostNetwork"`
	RestartPolicy    string      `json:"restartPolicy,omitempty"`
	GracePeriod      *int64      `json:"terminationGracePeriodSeconds,omitempty"`
	ImagePullSecrets []named     `json:"imagePullSecrets,omitempty"`
	InitContainers   []container `json:"initContainers,omitempty"`
	Containers       []container `json:"containers"`
	Volumes          []volume    `json:"volumes,omitempty"`
}

type named struct {
	Name string `json:"name"`
}

type container struct {
	Name            string   `json:"name"`
	Image           string   `json:"image"`
	ImagePullPolicy string   `json:"imagePullPolicy,omitempty"`
	Command         []string `json:"command,omitempty"`
	Args            []string `json:"args,omitempty"`
	VolumeMounts    []mount  `json:"volumeMounts,omitempty"`
	SecurityContext any      `json:"securityContext,omitempty"`
}

type mount struct {
	Name      string `json:"name"`
	MountPath string `json:"mountPath"`
}

type volume struct {
	Name  string       `json:"name"`
	Image *imageVolume `json:"image,omitempty"`
}

type imageVolume struct {
	Reference  string `json:"reference"`
	PullPolicy string `json:"pullPolicy,omitempty"`
}

type podStatus struct {
	Phase                 string            `json:"phase"`
	InitContainerStatuses []containerStatus `json:"initContainerStatuses"`
	ContainerStatuses     []containerStatus `json:"containerStatuses"`
}

type containerStatus struct {
	Name         string `json:"name"`
	RestartCount int    `json:"restartCount"`
	ContainerID  string `json:"containerID"`
	State        struct {
		Waiting    *reason   `json:"waiting"`
		Running    *struct{} `json:"running"`
		Terminated *reason   `json:"terminated"`
	} `json:"state"`
}

type reason struct {
	Reason   string `json:"reason"`
	Message  string `json:"message"`
	ExitCode int    `json:"exitCode"`
}

// newPod returns a pod with one container, in the network of the machine (there is no CNI)
// and without a grace period.
func newPod(name string, c container) pod {
	c.Name = "main"
	return podOf(name, podSpec{Containers: []container{c}})
}

func podOf(name string, spec podSpec) pod {
	now := int64(0)
	spec.HostNetwork, spec.GracePeriod = true, &now
	return pod{APIVersion: "v1", Kind: "Pod", Metadata: metadata{name, "default"}, Spec: spec}
}

// running reports whether every container of the pod runs and the init containers have
// succeeded.
func running(p pod) bool {
	for _, c := range p.Status.InitContainerStatuses {
		if c.State.Terminated == nil || c.State.Terminated.ExitCode != 0 {
			return false
		}
	}
	for _, c := range p.Status.ContainerStatuses {
		if c.State.Running == nil {
			return false
		}
	}
	return p.Status.Phase == "Running" &&
		len(p.Status.ContainerStatuses) == len(p.Spec.Containers) &&
		len(p.Status.InitContainerStatuses) == len(p.Spec.InitContainers)
}

// succeeded reports whether every container of the pod has succeeded.
func succeeded(p pod) bool { return p.Status.Phase == "Succeeded" }

// waitsFor reports whether the pod's first container waits for the reason.
func waitsFor(reason string) func(pod) bool {
	return func(p pod) bool {
		c := p.Status.ContainerStatuses
		return len(c) > 0 && c[0].State.Waiting != nil && c[0].State.Waiting.Reason == reason
	}
}

// templates returns one pod for the template of each DaemonSet and Deployment in a
// manifest. A kubelet without an API server has no ConfigMaps and no service accounts, so
// environment and accounts are removed; images, commands, init containers, privileges and
// pull policies are kept.
func templates(t *testing.T, path string) []pod {
	t.Helper()
	var pods []pod
	for _, doc := range documents(t, path) {
		raw, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		var workload struct {
			Metadata metadata
			Spec     struct{ Template struct{ Spec podSpec } }
		}
		if err := json.Unmarshal(raw, &workload); err != nil {
			t.Fatal(fmt.Errorf("%s: %w", path, err))
		}
		if spec := workload.Spec.Template.Spec; len(spec.Containers) > 0 {
			pods = append(pods, podOf(workload.Metadata.Name, spec))
		}
	}
	return pods
}

// manifest writes all objects to one file.
func manifest[T any](t *testing.T, path string, objects ...T) {
	t.Helper()
	var b strings.Builder
	for _, o := range objects {
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "---\n%s\n", raw)
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
