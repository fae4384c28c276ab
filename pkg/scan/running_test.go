package scan

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// live returns what an API server answers for the pods of a cluster.
func live(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/live/pods.json")
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestRunning scans the pods of a cluster. Their status names no image by itself; with
// FromStatus it adds the digests.
func TestRunning(t *testing.T) {
	deployment := "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: slow}\nspec: {template: {spec: {containers: [{name: x, image: 'quay.io/shop/migrate:v2'}]}}}\n"
	checkGolden(t, "running", []input{
		{name: "as written", src: live(t)},
		{name: "from status", src: live(t), opts: Options{FromStatus: true}},
		{name: "each once", src: live(t), opts: Options{FromStatus: true, Distinct: true}},
		{name: "excluded", src: live(t), opts: Options{FromStatus: true, Exclude: []string{"*/shop/*", "*/nginx:*"}}},
		{name: "other objects", src: "# a comment\n" + deployment + "---\n" + live(t), opts: Options{FromStatus: true, Exclude: []string{"*nginx*", "*busybox*"}}},
		{name: "status of another kind", opts: Options{FromStatus: true}, src: `
apiVersion: example.com/v1
kind: Pod
spec: {containers: [{name: c, image: demo/app:1}]}
status: {containerStatuses: [{name: c, imageID: "docker.io/demo/app@sha256:` + hex64 + `"}]}
`},
		{name: "odd status", opts: Options{FromStatus: true}, src: `
apiVersion: v1
kind: Pod
spec: {containers: [{name: c, image: demo/app:1}, {name: [d], image: demo/b:1}, e, {image: [f]}], initContainers: {name: g}}
status: {containerStatuses: [{name: c, imageID: 1}, c, {imageID: x}], initContainerStatuses: 3}
`},
	})
}

// TestRunningAcross resolves a name that another input has a digest for, whatever their order.
func TestRunningAcross(t *testing.T) {
	list := "registry.k8s.io/coredns/coredns:v1.12.1\nquay.io/shop/slow:v1\n"
	var names [2][]string
	for i, order := range [][]string{{list, live(t)}, {live(t), list}} {
		s := New(Options{FromStatus: true, Exclude: []string{"*nginx*"}})
		for _, src := range order {
			if err := s.Scan("in", strings.NewReader(src)); err != nil {
				t.Fatal(err)
			}
		}
		names[i] = s.Result().Names()
	}
	if diff := cmp.Diff(len(names[0]), len(names[1])); diff != "" {
		t.Errorf("the number of names depends on the order of the inputs: %s", diff)
	}
	for _, list := range names {
		if text := strings.Join(list, "\n") + "\n"; strings.Contains(text, "coredns:v1.12.1\n") || !strings.Contains(text, "slow:v1\n") {
			t.Errorf("want coredns with its digest, and slow without:\n%s", text)
		}
	}
}

// TestRunningDigest reads the image IDs that the runtimes write.
func TestRunningDigest(t *testing.T) {
	d := "sha256:" + hex64
	n, _ := parseName("busybox:1")
	for id, want := range map[string]string{
		"docker.io/library/busybox@" + d:       "",
		"docker-pullable://busybox@" + d:       "",
		"docker://busybox@" + d:                "",
		"":                                     "has not started",
		d:                                      "which no registry knows",
		"docker://" + d:                        "which no registry knows",
		hex64:                                  "which no registry knows",
		"busybox:1":                            "which no registry knows",
		"NOT A REFERENCE":                      "which no registry knows",
		"docker.io/library/busybox@sha256:123": "which no registry knows",
		"mirror.example.com/library/busybox@" + d:      "from another repository",
		"docker.io/other/busybox@" + d:                 "from another repository",
		"docker.io/library/busybox:2@" + d:             "",
		"docker-pullable://docker.io/other/thing@" + d: "from another repository",
	} {
		digest, why := runningDigest(id, n)
		if (digest == d) != (want == "") || !strings.Contains(why, want) || (why == "") != (want == "") {
			t.Errorf("%q: got %q, %q, want %q", id, digest, why, want)
		}
	}
}
