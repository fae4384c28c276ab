//go:build linux

package manual

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"stowage/internal/registrytest"
)

// A pod, as far as the pages need it; the keys are those of the Kubernetes API.
type pod struct {
	Kind       string    `json:"kind"`
	APIVersion string    `json:"apiVersion"`
	Metadata   metadata  `json:"metadata"`
	Spec       podSpec   `json:"spec"`
	Status     podStatus `json:"status"`
}

type metadata struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	UID       string `json:"uid"`
}

type podSpec struct {
	Containers []container `json:"containers"`
}

type container struct {
	Name            string `json:"name"`
	Image           string `json:"image"`
	ImagePullPolicy string `json:"imagePullPolicy"`
}

type podStatus struct {
	Phase             string            `json:"phase"`
	ContainerStatuses []containerStatus `json:"containerStatuses"`
}

type containerStatus struct {
	Name    string                       `json:"name"`
	Image   string                       `json:"image"`
	ImageID string                       `json:"imageID"`
	State   map[string]map[string]string `json:"state"`
}

// newPod returns a pod with one container.
func newPod(name, image, imageID string, state map[string]map[string]string) pod {
	phase := "Running"
	if state["waiting"] != nil {
		phase = "Pending"
	}
	return pod{
		Kind: "Pod", APIVersion: "v1",
		Metadata: metadata{Name: name + "-x7k2p", Namespace: "kube-system", UID: name},
		Spec:     podSpec{[]container{{name, image, "IfNotPresent"}}},
		Status:   podStatus{phase, []containerStatus{{name, image, imageID, state}}},
	}
}

// list returns the list of these pods in JSON.
func list(pods []pod) ([]byte, error) {
	return json.Marshal(struct {
		Kind       string `json:"kind"`
		APIVersion string `json:"apiVersion"`
		Items      []pod  `json:"items"`
	}{"PodList", "v1", pods})
}

// runningPods returns what "kubectl get pods -A -o json" prints where Calico runs.
func (m *machine) runningPods() ([]byte, error) {
	var pods []pod
	for _, repo := range registrytest.CalicoRepos {
		raw, err := m.hub.Manifest(repo, registrytest.CalicoTag)
		if err != nil {
			return nil, err
		}
		id := "docker.io/" + repo + "@" + digest.FromBytes(raw).String()
		running := map[string]map[string]string{"running": {}}
		pods = append(pods, newPod(filepath.Base(repo), "docker.io/"+repo+":"+registrytest.CalicoTag, id, running))
	}
	return list(pods)
}

// startKubelet answers at the kubelet's read-only port, with nine pods of which one waits for
// an image behind the limit of Docker Hub.
func (m *machine) startKubelet(t *testing.T) {
	t.Helper()
	const image = "docker.io/calico/node:v3.28.0"
	pods := []pod{newPod("calico-node", image, "", map[string]map[string]string{"waiting": {
		"reason": "ImagePullBackOff",
		"message": `Back-off pulling image "` + image + `": ErrImagePull: failed to pull and unpack image "` + image + `": failed to copy: ` +
			`httpReadSeeker: failed open: unexpected status from GET request to https://registry-1.docker.io/v2/calico/node/manifests/` +
			`sha256:0000000000000000000000000000000000000000000000000000000000000000: 429 Too Many Requests` + "\n" +
			`toomanyrequests: You have reached your unauthenticated pull rate limit.`,
	}})}
	for i := range 8 {
		name := fmt.Sprintf("app-%d", i)
		pods = append(pods, newPod(name, "quay.io/acme/"+name+":1", "quay.io/acme/"+name+"@sha256:00", map[string]map[string]string{"running": {}}))
	}
	answer, err := list(pods)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:10255")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(answer)
	})}
	t.Cleanup(func() { server.Close() })
	go server.Serve(l)
}
