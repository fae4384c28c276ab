package scan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// TestPodContainers scans the places of a pod spec that make a kubelet pull.
func TestPodContainers(t *testing.T) {
	checkGolden(t, "pod_containers", []input{
		{name: "each kind of container", src: `
kind: Pod
metadata: {name: p}
spec:
  initContainers:
  - {name: i, image: demo/init:1}
  - {name: sidecar, image: demo/sidecar:1, restartPolicy: Always}
  containers:
  - {name: c, image: demo/app:1}
  ephemeralContainers:
  - {name: e, image: demo/debug:1, targetContainerName: c}
`},
		{name: "image volume", src: `
kind: Pod
spec:
  containers: [{name: c, image: demo/app:1}]
  volumes:
  - name: model
    image: {reference: "quay.io/demo/model:1", pullPolicy: Never}
  - name: empty
    image: {reference: ""}
  - name: other
    configMap: {name: reference}
`},
		{name: "projected and ephemeral volumes name no image", src: `
kind: Pod
spec:
  containers: [{name: c, image: demo/app:1}]
  volumes:
  - name: a
    projected: {sources: [{configMap: {name: quay.io/demo/x}}]}
  - name: b
    ephemeral: {volumeClaimTemplate: {spec: {storageClassName: fast}}}
`},
		{name: "template of a CronJob", src: `
apiVersion: batch/v1
kind: CronJob
metadata: {name: night, namespace: ops}
spec: {jobTemplate: {spec: {template: {spec: {containers: [{name: c, image: demo/job}]}}}}}
`},
		{name: "StatefulSet with volume claims", src: `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  template:
    spec:
      containers:
      - name: db
        image: postgres:16.4
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {resources: {requests: {storage: 1Gi}}}
`},
		{name: "no containers", src: `
kind: Pod
spec: {containers: []}
`},
		{name: "containers that are no list", src: `
kind: Pod
spec: {containers: {image: demo/app:1}}
`},
		{name: "JSON", src: `{"kind":"Pod","spec":{"containers":[
 {"name":"c","image":"demo/app:1"},
 {"image":"registry.example.net:5000/demo/\u0061pp:2"}]}}`},
		{name: "pod spec in a custom resource is indirect", src: `
apiVersion: example.net/v1
kind: Machine
spec: {template: {spec: {containers: [{name: c, image: demo/app:1}]}}}
`},
		{name: "unknown version of a known kind", src: `
apiVersion: example.net/v1
kind: Deployment
spec: {template: {spec: {containers: [{name: c, image: demo/app:1}]}}}
`},
	})
}

// TestPodImageStyles scans image fields in each way YAML can write them.
func TestPodImageStyles(t *testing.T) {
	pod := func(image string) string {
		return "kind: Pod\nspec:\n  containers:\n  - name: c\n" + image
	}
	checkGolden(t, "pod_styles", []input{
		{name: "plain", src: pod("    image: demo/app:1 # comment\n")},
		{name: "single quotes", src: pod("    image: 'demo/app:1'\n")},
		{name: "double quotes", src: pod("    image: \"demo/app:1\"\n")},
		{name: "quoted key", src: pod("    \"image\": demo/app:1\n")},
		{name: "escape in quotes", src: pod("    image: \"demo\\u002Fapp:1\"\n")},
		{name: "line break in quotes", src: pod("    image: \"demo/\\\n      app:1\"\n")},
		{name: "literal, stripped", src: pod("    image: |-\n      demo/app:1\n")},
		{name: "folded", src: pod("    image: >-\n      demo/app:1\n")},
		{name: "next line", src: pod("    image:\n      demo/app:1\n")},
		{name: "white space in quotes", src: pod("    image: ' demo/app:1 '\n")},
		{name: "tag", src: pod("    image: !!str demo/app:1\n")},
		{name: "anchor", src: pod("    image: &i demo/app:1\n  - {name: d, image: *i}\n")},
		{name: "complex key", src: pod("    ? image\n    : demo/app:1\n")},
		{name: "merge", src: "x: &base {image: demo/base:1, name: b}\n---\n" +
			"kind: Pod\nspec:\n  containers:\n  - &first {name: c, image: demo/app:1}\n  - {<<: *first, name: d}\n  - {<<: [*first], image: demo/own:1}\n"},
		{name: "CRLF", src: strings.ReplaceAll(pod("    image: demo/app:1\n"), "\n", "\r\n")},
		{name: "wide characters before", src: pod("    title: 'é 😀'\n    image: demo/app:1\n")},
		{name: "key written twice", src: pod("    image: demo/old:1\n    image: demo/new:1\n")},
		{name: "number", src: pod("    image: 42\n")},
		{name: "boolean", src: pod("    image: true\n")},
		{name: "null", src: pod("    image: ~\n")},
		{name: "empty", src: pod("    image: ''\n")},
		{name: "white space only", src: pod("    image: '  '\n")},
		{name: "capitals", src: pod("    image: Demo/App:1\n")},
		{name: "two words", src: pod("    image: demo/app 1\n")},
		{name: "scheme", src: pod("    image: docker://demo/app:1\n")},
		{name: "mapping", src: pod("    image: {repository: demo/app, tag: 1}\n")},
		{name: "sequence", src: pod("    image: [demo/a:1, demo/b:2]\n")},
		{name: "template without quotes", src: pod("    image: {{ .Values.image }}\n")},
		{name: "template in quotes", src: pod("    image: \"{{ .Values.image }}:1\"\n")},
		{name: "shell variable", src: pod("    image: ${REGISTRY}/app:1\n")},
		{name: "word in place of a tag", src: pod("    image: demo/app:VERSION\n")},
		{name: "digest", src: pod("    image: demo/app@sha256:" + hex64 + "\n")},
		{name: "tag and digest", src: pod("    image: demo/app:1@sha256:" + hex64 + "\n")},
		{name: "short digest", src: pod("    image: demo/app@sha256:0123\n")},
		{name: "port", src: pod("    image: registry.example.net:5000/app\n")},
		{name: "cluster registry", src: pod("    image: registry.infra.svc:5000/app:1\n")},
		{name: "loopback", src: pod("    image: localhost:5000/app:1\n")},
	})
}

// TestPodPolicies scans pull policies and what follows from them.
func TestPodPolicies(t *testing.T) {
	checkGolden(t, "pod_policies", []input{
		{name: "each policy", src: `
kind: Pod
spec:
  containers:
  - {name: a, image: demo/a:1, imagePullPolicy: Always}
  - {name: b, image: demo/b:1, imagePullPolicy: IfNotPresent}
  - {name: c, image: demo/c:1, imagePullPolicy: Never}
  - {name: d, image: demo/d:1}
`},
		{name: "latest without a policy", src: `
kind: Pod
spec:
  initContainers: [{name: a, image: demo/a}]
  containers: [{name: b, image: "demo/b:latest"}]
`},
		{name: "latest with a policy", src: `
kind: Pod
spec:
  containers: [{name: b, image: "demo/b:latest", imagePullPolicy: IfNotPresent}]
`},
		{name: "digest without a tag is fixed", src: `
kind: Pod
spec:
  containers: [{name: b, image: "demo/b@sha256:` + hex64 + `"}]
`},
		{name: "in quotes, as a block, and through an alias", src: `
kind: Pod
spec:
  containers:
  - {name: a, image: demo/a:1, imagePullPolicy: "Always"}
  - name: b
    image: demo/b:1
    imagePullPolicy: >-
      Always
  - {name: c, image: demo/c:1, imagePullPolicy: &p Always}
  - {name: d, image: demo/d:1, imagePullPolicy: *p}
`},
		{name: "values of a chart", src: `
image: {repository: demo/app, tag: 1, pullPolicy: Always}
`},
		{name: "in a ConfigMap", src: `
kind: ConfigMap
data:
  pod.yaml: |
    spec:
      containers:
      - image: demo/app:1
        imagePullPolicy: Always
`},
	})
}

// TestPodSecrets scans the pull secrets of pods and service accounts.
func TestPodSecrets(t *testing.T) {
	checkGolden(t, "pod_secrets", []input{
		{name: "own", src: `
kind: Pod
metadata: {namespace: demo}
spec:
  imagePullSecrets: [{name: a}, {name: b}]
  containers: [{name: c, image: demo/app:1}]
`},
		{name: "of the default account", src: `
kind: Pod
metadata: {namespace: demo}
spec: {containers: [{name: c, image: demo/app:1}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: demo}
imagePullSecrets: [{name: a}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: other}
imagePullSecrets: [{name: wrong}]
`},
		{name: "of a named account, before the pod", src: `
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
imagePullSecrets: [{name: a}, {name: b}]
---
kind: Pod
spec: {serviceAccountName: robot, containers: [{name: c, image: demo/app:1}]}
`},
		{name: "the old key of the account", src: `
kind: Pod
spec: {serviceAccount: robot, containers: [{name: c, image: demo/app:1}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: robot}
imagePullSecrets: [{name: a}]
`},
		{name: "own secrets hide those of the account", src: `
kind: Pod
spec:
  imagePullSecrets: [{name: own}]
  containers: [{name: c, image: demo/app:1}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default}
imagePullSecrets: [{name: a}]
`},
		{name: "of a custom resource", src: `
apiVersion: monitoring.coreos.com/v1
kind: Prometheus
metadata: {name: p, namespace: demo}
spec:
  imagePullSecrets: [{name: a}]
  image: quay.io/demo/prometheus:v3
`},
		{name: "plain names in values", src: `
imagePullSecrets: [a, b]
image: quay.io/demo/app:v3
`},
		{name: "no list", src: `
kind: Pod
spec: {imagePullSecrets: a, containers: [{name: c, image: demo/app:1}]}
`},
	})
}

// TestPodWindows recognises pods that only run on Windows nodes.
func TestPodWindows(t *testing.T) {
	term := func(key, operator, values string) string {
		return "{matchExpressions: [{key: zone, operator: Exists}, {key: " + key + ", operator: " + operator + ", values: " + values + "}]}"
	}
	affinity := func(terms ...string) string {
		return "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [" + strings.Join(terms, ", ") + "]}}}"
	}
	const label = "kubernetes.io/os"
	for _, tc := range []struct {
		name, spec string
		want       bool
	}{
		{"nothing", "a: b", false},
		{"os", "os: {name: windows}", true},
		{"os linux", "os: {name: linux}", false},
		{"os of another shape", "os: windows", false},
		{"selector", "nodeSelector: {kubernetes.io/os: windows}", true},
		{"old label", "nodeSelector: {beta.kubernetes.io/os: windows}", true},
		{"selector linux", "nodeSelector: {kubernetes.io/os: linux}", false},
		{"another label", "nodeSelector: {example.net/os: windows}", false},
		{"affinity", affinity(term(label, "In", "[windows]")), true},
		{"every term", affinity(term(label, "In", "[windows]"), term("beta."+label, "In", "[windows]")), true},
		{"one term of two", affinity(term(label, "In", "[windows]"), term(label, "In", "[linux]")), false},
		{"two values", affinity(term(label, "In", "[windows, linux]")), false},
		{"other operator", affinity(term(label, "NotIn", "[windows]")), false},
		{"no terms", affinity(), false},
		{"term without expressions", affinity("{matchFields: []}"), false},
		{"expression of another shape", affinity("{matchExpressions: [windows]}"), false},
		{"preferred only", "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var n yaml.Node
			if err := yaml.Unmarshal([]byte("{"+tc.spec+"}"), &n); err != nil {
				t.Fatal(err)
			}
			b := &budget{limits: (&Options{}).limits()}
			f, _ := b.fields(n.Content[0], 0)
			if got := windows(f, b); got != tc.want {
				t.Errorf("windows is %v for %s", got, tc.spec)
			}
		})
	}
}

// TestPullSecretsOfPod calls the method for pods that no manifest makes.
func TestPullSecretsOfPod(t *testing.T) {
	accounts := map[string][]string{"demo/robot": {"demo/a", "demo/b"}}
	for _, tc := range []struct {
		name string
		pod  *pod
		want []string
	}{
		{"no pod", nil, nil},
		{"own", &pod{namespace: "demo", secrets: []string{"x"}, account: "robot"}, []string{"demo/x"}},
		{"account", &pod{namespace: "demo", account: "robot"}, []string{"demo/a", "demo/b"}},
		{"account of another namespace", &pod{namespace: "other", account: "robot"}, nil},
		{"unknown account", &pod{namespace: "demo", account: "default"}, nil},
	} {
		got := tc.pod.pullSecrets(accounts)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
		if len(got) > 0 {
			got[0] = "changed"
		}
	}
	if accounts["demo/robot"][0] != "demo/a" {
		t.Error("the secrets of an account are shared with a result")
	}
}
