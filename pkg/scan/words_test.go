package scan

import "testing"

func TestPlaceholder(t *testing.T) {
	yes := []string{"auto", "ko://x/y", "{{ .Values.image }}", "a/{{x}}:1", "{% x %}", "%{REGISTRY}%a/b:1", "<your-image>", "a/b:<tag>",
		"@@IMAGE@@", "%s/a:1", "__IMAGE__", "a/__NAME__:1", "$IMAGE", "${A}/b:1", "$(A)/b:1", "$_x", "FILLED BY THE OPERATOR",
		"mcr.example.net/x:VERSION", "a/b:IMAGE_TAG", "REPLACE_ME", "IMAGE_PLACEHOLDER", "a:TBD"}
	no := []string{"", "busybox", "demo/app:1", "demo/app:RELEASE.2022-02-01T18-00-14Z", "demo/app:STABLE", "a__b/c:1", "demo/app:v1__2",
		"cost$", "5$", "quay.io/a/b:1", `{"a": {"b": 1}}`, "automatic", "demo/tag:1", "a b"}
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

func TestKeys(t *testing.T) {
	type row struct{ image, images bool }
	for key, want := range map[string]row{
		"image": {true, false}, "Image": {true, false}, "baseImage": {true, false}, "helper_image": {true, false}, "proxy-image": {true, false},
		"imageName": {true, false}, "image_name": {true, false}, "imageRef": {true, false}, "sidecar.demo.net/proxyImage": {true, false},
		"spec.image": {true, false}, "HELPER_IMAGE": {true, true}, "IMAGES": {true, true},
		"images": {false, true}, "relatedImages": {false, true}, "extra_images": {false, true},
		"imagePullPolicy": {}, "imageTag": {}, "imageVersion": {}, "imagePullSecrets": {}, "imageID": {}, "img": {}, "": {},
		"IMAGE_VERSION": {}, "IMAGE_PULL_POLICY": {}, "outputImage": {}, "destinationImage": {}, "pushImage": {}, "targetImage": {true, false},
		"outputImages": {},
	} {
		if got := (row{imageKey(key), imagesKey(key)}); got != want {
			t.Errorf("%s: %v, want %v", key, got, want)
		}
	}
}

func TestFlags(t *testing.T) {
	for flag, want := range map[string]bool{
		"--image": true, "-image": true, "--acme-solver-image": true, "-configmapServerImage": true, "--images": true, "--image-name": true,
		"image": false, "--imag": false, "--image-tag": false, "--image-pull-policy": false, "--image-pull-secrets": false,
		"--utilImageVersion": false, "--workerImageTag": false, "--image-repository": false, "--stage": false,
	} {
		if imageFlag(flag) != want {
			t.Errorf("imageFlag(%q) = %v", flag, !want)
		}
	}
	for flag, want := range map[string]bool{
		"--destination": true, "--output": true, "--cache-repo": true, "--push-image": true, "destination": false, "--image": false, "--pushgateway": false,
	} {
		if targetFlag(flag) != want {
			t.Errorf("targetFlag(%q) = %v", flag, !want)
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

func TestMatch(t *testing.T) {
	for _, tc := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a/b", true}, {"a", "a", true}, {"a?c", "abc", true}, {"a?c", "ac", false},
		{"quay.io/*", "quay.io/a/b:1", true}, {"*/b:1", "quay.io/a/b:1", true}, {"*/b", "quay.io/a/b:1", false}, {"a*b*c", "aXbYbZc", true},
		{"a**", "a", true}, {"*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", false},
	} {
		if got := match(tc.pattern, tc.s); got != tc.want {
			t.Errorf("match(%q, %q) = %v", tc.pattern, tc.s, got)
		}
	}
}

func TestPath(t *testing.T) {
	p := &path{up: &path{up: &path{key: "data"}, key: "a.yaml"}, inner: true}
	p = &path{up: &path{up: &path{up: p, key: "list"}, index: 2}, key: "image"}
	if got, want := p.String(), `data["a.yaml"] > list[2].image`; got != want {
		t.Errorf("path %s, want %s", got, want)
	}
	if got := (&path{up: &path{index: 0}, key: ""}).String(); got != "[0][0]" {
		t.Errorf("path %s", got)
	}
	for pattern, want := range map[string]bool{"data": true, "data.list": false, "dat": false, "": true} {
		if below(&path{up: &path{key: "data"}, key: "x"}, pattern) != want {
			t.Errorf("below %q is not %v", pattern, want)
		}
	}
}

// TestTables shows that the embedded tables are read, and have what every row needs.
func TestTables(t *testing.T) {
	if k := kinds(); len(k.pulled) < 10 || !k.ignored[kindKey{"apiextensions.k8s.io", "CustomResourceDefinition"}] {
		t.Errorf("kinds: %v", k)
	}
	for _, row := range operators() {
		if len(row.Repositories)+len(row.Groups) == 0 || !row.Complete && (row.Operands == "" || row.Advice == "") {
			t.Errorf("operator without what it needs: %+v", row)
		}
		for _, r := range row.Repositories {
			if _, ok := parseName(r); !ok {
				t.Errorf("%q is no repository", r)
			}
		}
	}
	if _, known := operatorByRepository("mirror/tigera/operator"); !known {
		t.Error("a mirrored operator is not known")
	}
	if _, known := operatorByRepository("nottigera/operator"); known {
		t.Error("nottigera/operator is known")
	}
}
