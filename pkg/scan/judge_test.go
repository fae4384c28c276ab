package scan

import "testing"

func TestPlaceholder(t *testing.T) {
	yes := []string{"auto", "ko://x/y", "{{ .Values.image }}", "a/{{x}}:1", "{% x %}", "%{REGISTRY}%a/b:1", "<your-image>", "a/b:<tag>",
		"@@IMAGE@@", "%s/a:1", "__IMAGE__", "a/__NAME__:1", "$IMAGE", "${A}/b:1", "$(A)/b:1", "$_x", "FILLED BY THE OPERATOR",
		"mcr.example.net/x:VERSION", "a/b:IMAGE_TAG", "REPLACE_ME", "IMAGE_PLACEHOLDER", "a:TBD",
		"a:KUBE_PROXY_VERSION-hostprocess", "a:#{Build.Id}#", "a:@VERSION@", "a:%TAG%", "YOUR_REGISTRY/app:1", "a:TODO", "a:v1-IMAGE_TAG", "a:XXX", "[[ .Image ]]",
		"a:{VERSION}", "{registry}/a:1", "[REGISTRY]/a:1"}
	no := []string{"", "busybox", "demo/app:1", "demo/app:RELEASE.2022-02-01T18-00-14Z", "demo/app:STABLE", "a__b/c:1", "demo/app:v1__2",
		"cost$", "5$", "quay.io/a/b:1", `{"a": {"b": 1}}`, "automatic", "demo/tag:1", "a b", "a:v1-STAGING",
		"a:CHANGELOG", "[fe80::1]:5000/a:1", "[::1]/a:1", "a:1.0-SNAPSHOT", "a@b", "100%"}
	for _, s := range yes {
		if !isPlaceholder(s) {
			t.Errorf("isPlaceholder(%q) = false", s)
		}
	}
	for _, s := range no {
		if isPlaceholder(s) {
			t.Errorf("isPlaceholder(%q) = true", s)
		}
	}
}

func TestJudge(t *testing.T) {
	for v, want := range map[string]verdict{
		"": ignore, "demo/app:1": take, "redis:7": take, "demo/app": take, "quay.io/a/b": take, "redis": unclear, "true": ignore, "1.25": ignore,
		"a/b/c": unclear, "projects/x/global/images/y": unclear, "a/logo.png": ignore, "{{x}}": placeholder, "auto": placeholder,
		"https://a.b/c:1": ignore, "docker://quay.io/a/b:1": take, "docker://a": ignore, "oci://quay.io/a/b:1": unclear, "oci://quay.io/a": ignore,
		"sha256:" + hex64: ignore, "A/b:1": ignore, "one two": ignore,
	} {
		if got := judgeField(v); got != want {
			t.Errorf("judgeField(%q) = %v, want %v", v, got, want)
		}
	}
	for _, tc := range []struct {
		name, value string
		want        verdict
	}{
		{"HELPER_IMAGE", "demo/app", take}, {"IMAGE_BASE", "demo/app", ignore}, {"IMAGE_BASE", "demo/app:1", take},
		{"IMAGE_SERVER", "server:8080", unclear}, {"IMAGE_X", "registry:2", take}, {"HELPER_IMAGE", "redis", unclear}, {"IMAGE_X", "redis", ignore},
		{"X_IMAGE", "${A}", placeholder}, {"X_IMAGE", "/usr/lib", ignore}, {"X_IMAGE", "a@sha256:" + hex64, take},
	} {
		if got := judgeVariable(tc.name, tc.value); got != tc.want {
			t.Errorf("judgeVariable(%s, %q) = %v, want %v", tc.name, tc.value, got, tc.want)
		}
	}
}

// TestJudgeReference judges values of keys that promise one reference, in a pod spec and in
// any other mapping.
func TestJudgeReference(t *testing.T) {
	const d = "@sha256:" + hex64
	for _, tc := range []struct{ value, container, field string }{
		{"demo/app:1", "take@0 demo/app:1", "take@0 demo/app:1"},
		{"demo/app" + d, "take@0 demo/app" + d, "take@0 demo/app" + d},
		{" demo/app:1\n", "take@1 demo/app:1", "take@1 demo/app:1"},
		{"redis", "take@0 redis", "unclear@0 redis"},
		{"a/b/c", "take@0 a/b/c", "unclear@0 a/b/c"},
		{"true", "take@0 true", "ignore@0 true"},
		{"logo.png", "take@0 logo.png", "ignore@0 logo.png"},
		{"old:1=quay.io/demo/new:1", "take@6 quay.io/demo/new:1", "take@6 quay.io/demo/new:1"},
		{"a b=quay.io/demo/c:1", "invalid@0 a b=quay.io/demo/c:1", "ignore@0 a b=quay.io/demo/c:1"},
		{"old=new:1", "invalid@0 old=new:1", "ignore@0 old=new:1"},
		{"${A}", "placeholder@0 ${A}", "placeholder@0 ${A}"},
		{"auto", "placeholder@0 auto", "placeholder@0 auto"},
		{"", "invalid@0 ", "ignore@0 "},
		{"Demo/App", "invalid@0 Demo/App", "ignore@0 Demo/App"},
		{" A B ", "placeholder@1 A B", "placeholder@1 A B"},
		{"docker://quay.io/demo/a:1", "invalid@0 docker://quay.io/demo/a:1", "take@0 docker://quay.io/demo/a:1"},
		{"oci://quay.io/demo/a:1", "invalid@0 oci://quay.io/demo/a:1", "unclear@0 oci://quay.io/demo/a:1"},
		{"sha256:" + hex64, "take@0 sha256:" + hex64, "ignore@0 sha256:" + hex64},
	} {
		for form, want := range map[Form]string{FormContainer: tc.container, FormInit: tc.container, FormField: tc.field, FormRelated: tc.field} {
			c := judgeReference(tc.value, form)
			if c.String() != want || c.form != form || c.length != len(c.text) {
				t.Errorf("judgeReference(%q, %s) = %v, %d bytes, want %s", tc.value, form, c, c.length, want)
			}
		}
	}
	if c := judgeReference("", FormVolume); c.verdict != invalid {
		t.Errorf("empty volume: %v", c)
	}
	if c := judgeReference("A/b", FormVolume); c.verdict != invalid {
		t.Errorf("volume: %v", c)
	}
}

// TestJudgeScalar judges values under keys that promise nothing.
func TestJudgeScalar(t *testing.T) {
	const d = "@sha256:" + hex64
	for value, want := range map[string]string{
		"quay.io/demo/a:1":             "take@0 quay.io/demo/a:1",
		"demo/a" + d:                   "take@0 demo/a" + d,
		"demo/a:1":                     "ignore@0 ",
		"x=quay.io/demo/a:1":           "take@2 quay.io/demo/a:1",
		"x=y=quay.io/demo/a:1":         "ignore@0 ",
		"a b=quay.io/demo/a:1":         "ignore@0 ",
		"x=demo/a:1":                   "ignore@0 ",
		"=quay.io/demo/a:1":            "take@1 quay.io/demo/a:1",
		"docker://quay.io/demo/a:1":    "take@0 docker://quay.io/demo/a:1",
		"oci://quay.io/demo/a:1":       "unclear@0 oci://quay.io/demo/a:1",
		"https://quay.io/demo/a:1":     "ignore@0 https://quay.io/demo/a:1",
		"s3://quay.io/demo/a:1":        "ignore@0 s3://quay.io/demo/a:1",
		"quay.io:443":                  "ignore@0 ",
		"node.example.net/x:NoExecute": "ignore@0 ",
		"networking.k8s.io/v1":         "ignore@0 ",
	} {
		if c := judgeScalar(value); c.String() != want {
			t.Errorf("judgeScalar(%q) = %v, want %s", value, c, want)
		}
	}
}
