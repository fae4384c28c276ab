package why

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWaits reads what containers wait for from the kubelet's list of pods.
func TestWaits(t *testing.T) {
	const spec = `"spec":{"imagePullSecrets":[{"name":"regcred"}],"initContainers":[{"name":"i","image":"i:1"}],"containers":[{"name":"a","image":"a:1","imagePullPolicy":"Never"},{"name":"b","image":"b"}]}`
	const waitingFor = `"state":{"waiting":{"reason":"%s","message":"%s"}}`
	done := `"initContainerStatuses":[{"name":"i","state":{"terminated":{"exitCode":0}}}]`
	state := func(reason, message string) string { return fmt.Sprintf(waitingFor, reason, message) }
	up := `"state":{"running":{}}`
	for _, row := range []struct {
		name, pod string
		want      []string // container, image, policy, reason, sure
	}{
		{"running", `{` + spec + `,"status":{` + done + `,"containerStatuses":[{"name":"a",` + up + `},{"name":"b",` + up + `}]}}`, nil},
		{"one waits", `{` + spec + `,"status":{` + done + `,"containerStatuses":[{"name":"a",` + up + `},{"name":"b",` + state("ErrImagePull", "x") + `}]}}`,
			[]string{"b b Always ErrImagePull true"}},
		{"an init container waits", `{` + spec + `,"status":{"initContainerStatuses":[{"name":"i",` + state("ImagePullBackOff", "x") + `}],"containerStatuses":[{"name":"a",` + state("PodInitializing", "") + `},{"name":"b",` + state("PodInitializing", "") + `}]}}`,
			[]string{"i i:1 IfNotPresent ImagePullBackOff true"}},
		{"an init container runs", `{` + spec + `,"status":{"initContainerStatuses":[{"name":"i",` + up + `}],"containerStatuses":[{"name":"a",` + state("PodInitializing", "") + `},{"name":"b",` + state("PodInitializing", "") + `}]}}`,
			[]string{"a a:1 Never PodInitializing false", "b b Always PodInitializing false"}},
		{"nothing is known yet", `{` + spec + `,"status":{"phase":"Pending"}}`, []string{"i i:1 IfNotPresent  false"}},
		{"done", `{` + spec + `,"status":{"phase":"Succeeded"}}`, nil},
		{"failed", `{` + spec + `,"status":{"phase":"Failed","reason":"Error"}}`, nil},
		{"ending", `{"metadata":{"deletionTimestamp":"2026-01-01T00:00:00Z"},` + spec + `,"status":{}}`, nil},
		{"evicted", `{` + spec + `,"status":{"phase":"Failed","reason":"Evicted","message":"m"}}`, []string{"i i:1 IfNotPresent Evicted false"}},
		{"no pull record can be written", `{` + spec + `,"status":{` + done + `,"containerStatuses":[{"name":"a",` + state("write /var/lib/kubelet/image_manager/x: no space left on device", "Failed to record image pull intent") + `},{"name":"b",` + up + `}]}}`,
			[]string{"a a:1 Never  true"}},
		{"ephemeral", `{"spec":{"containers":[],"ephemeralContainers":[{"name":"debug","image":"c:1"}]},"status":{"ephemeralContainerStatuses":[{"name":"debug",` + state("ErrImagePull", "x") + `}]}}`,
			[]string{"debug c:1 IfNotPresent ErrImagePull true"}},
		{"image of a volume", `{"spec":{"containers":[{"name":"a","image":"a:1"}],"volumes":[{"name":"v","image":{"reference":"v:1"}},{"name":"w"}]},"status":{"containerStatuses":[{"name":"a",` + state("ErrImagePull", `failed to pull v:1`) + `}]}}`,
			[]string{"a a:1 IfNotPresent ErrImagePull false", "volume v v:1 IfNotPresent ErrImagePull true"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			pods, err := decodePods(strings.NewReader(`{"kind":"PodList","items":[` + row.pod + `]}`))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, w := range pods[0].waits() {
				got = append(got, fmt.Sprintf("%s %s %s %s %v", w.Container, w.image, w.Policy, w.Reason, w.sure))
			}
			if d := cmp.Diff(row.want, got); d != "" {
				t.Errorf("waits (-want +got):\n%s", d)
			}
		})
	}
}

// TestMessagesHaveNoCredentials checks that accounts and signatures in the addresses of a
// message are not kept.
func TestMessagesHaveNoCredentials(t *testing.T) {
	const message = `failed to do request: Head "https://me:secret@site.test/v2/a/manifests/1?token=secret": dial tcp: lookup site.test: no such host`
	p := pod{}
	c := containerStatus{Name: "a"}
	c.State.Waiting = &stateText{Reason: "ErrImagePull", Message: message}
	c.LastState.Terminated = &stateText{Message: message}
	w, _ := p.wait(container{Name: "a", Image: "site.test/a:1"}, c)
	for _, cause := range append(explain(w, ofNode()), Cause{Text: w.Message + w.Reason}) {
		if strings.Contains(cause.Text, "secret") || !strings.Contains(cause.Text, "site.test") {
			t.Errorf("text %q", cause.Text)
		}
	}
}

// TestOddLists refuses what is no list of pods.
func TestOddLists(t *testing.T) {
	for _, text := range []string{"", "{", "[]", `{"kind":"Status"}`, `<html>`, `{"kind":"PodList","items":{}}`} {
		if pods, err := decodePods(strings.NewReader(text)); err == nil {
			t.Errorf("%q: %d pods and no error", text, len(pods))
		}
	}
}
