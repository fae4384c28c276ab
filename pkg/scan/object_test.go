package scan

import "testing"

// TestObjects scans kinds and lists of objects.
func TestObjects(t *testing.T) {
	const pod = "apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{image: 'demo/a:1'}]}"
	checkGolden(t, "object", []input{
		{name: "List", src: "kind: List\nitems:\n- {" + pod + "}\n- {" + pod + "}\n"},
		{name: "PodList", src: "kind: PodList\napiVersion: v1\nitems: [{" + pod + "}]\n"},
		{name: "List in a List", src: "kind: List\nitems: [{kind: List, items: [{" + pod + "}]}]\n"},
		{name: "empty List", src: "kind: List\nitems: []\n"},
		{name: "items without a List", src: "items: [{" + pod + "}]\n"},
		{name: "List with other items", src: "kind: List\nitems: [42, ~, [{image: demo/b:1}], {image: demo/c:1}]\n"},
		{name: "documents", src: "{" + pod + "}\n---\n---\n# nothing\n---\n{image: demo/b:1}\n...\n"},
		{name: "several JSON values", src: `{"image": "demo/a:1"} {"image": "demo/b:1"}` + "\n" + `{"image": "demo/c:1"}`},
		{name: "sequence as root", src: "- image: demo/a:1\n- quay.io/demo/b:1\n"},
		{name: "scalar as root", src: "quay.io/demo/a b\n"},
		{name: "names that are no strings", src: "kind: Pod\nmetadata: {name: 42, namespace: true}\nspec: {containers: [{image: demo/a:1}]}\n"},
		{name: "generateName", src: "kind: Job\nmetadata: {generateName: run-}\nspec: {template: {spec: {containers: [{image: demo/a:1}]}}}\n"},
		{name: "kind that is no string", src: "kind: [Pod]\nspec: {containers: [{image: demo/a:1}]}\n"},
		{name: "ignored kind", src: "apiVersion: kyverno.io/v1\nkind: ClusterPolicy\nspec: {image: demo/a:1}\n"},
		{name: "same kind of another group", src: "apiVersion: example.net/v1\nkind: ClusterPolicy\nspec: {image: demo/a:1}\n"},
		{name: "ignored kind inside", src: "kind: Template\nobjects:\n- {apiVersion: v1, kind: Node, status: {images: [{names: ['quay.io/demo/a:1']}]}}\n- {" + pod + "}\n"},
		{name: "schema in JSON", src: `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": {"image": "demo/a:1"}}`},
		{name: "Secret", src: "apiVersion: v1\nkind: Secret\nstringData: {image: 'demo/a:1', x: 'quay.io/demo/b:1'}\n"},
		{name: "Secret of another group", src: "apiVersion: example.net/v1\nkind: Secret\nspec: {image: demo/a:1}\n"},
		{name: "custom resource that is pulled", src: "apiVersion: monitoring.coreos.com/v1\nkind: Alertmanager\nspec: {image: 'quay.io/demo/a:1', other: {image: 'demo/b:1'}}\n"},
		{name: "only required", src: "apiVersion: monitoring.coreos.com/v1\nkind: Alertmanager\nspec: {image: 'quay.io/demo/a:1', other: {image: 'demo/b:1'}}\n", opts: Options{Only: Required}},
	})
}

// TestBuiltin reads groups of API versions, and recognises the kinds with a pod spec.
func TestBuiltin(t *testing.T) {
	for version, want := range map[string]string{"v1": "", "apps/v1": "apps", "": "", "a.b/c/d": "a.b", "/v1": ""} {
		if got := apiGroup(version); got != want {
			t.Errorf("apiGroup(%q) = %q, want %q", version, got, want)
		}
	}
	for _, tc := range []struct {
		version, kind string
		want          bool
	}{
		{"v1", "Pod", true}, {"", "Pod", true}, {"apps/v1", "Deployment", true}, {"batch/v1beta1", "CronJob", true}, {"extensions/v1beta1", "DaemonSet", true},
		{"v1", "ConfigMap", false}, {"example.net/v1", "Pod", false}, {"apps.kruise.io/v1", "StatefulSet", false}, {"v1", "", false}, {"v1", "pod", false},
	} {
		if builtin(tc.version, tc.kind) != tc.want {
			t.Errorf("builtin(%q, %q) = %v", tc.version, tc.kind, !tc.want)
		}
	}
}
