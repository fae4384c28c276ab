package scan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// TestVariableText judges values of variables.
func TestVariableText(t *testing.T) {
	const d = "@sha256:" + hex64
	for _, tc := range []struct {
		name, variable, value string
		want                  []string
	}{
		{"one", "A_IMAGE", "demo/a:1", []string{"take@0 demo/a:1"}},
		{"digest", "A_IMAGE", "demo/a" + d, []string{"take@0 demo/a" + d}},
		{"lines", "A_IMAGES", "demo/a:1\ndemo/b:2\n", []string{"take@0 demo/a:1", "take@9 demo/b:2"}},
		{"commas", "A_IMAGES", "demo/a:1, demo/b:2,demo/c:3", []string{"take@0 demo/a:1", "take@10 demo/b:2", "take@19 demo/c:3"}},
		{"semicolons and quotes", "A_IMAGES", `"demo/a:1";'demo/b:2'`, []string{"take@1 demo/a:1", "take@12 demo/b:2"}},
		{"keys", "A_IMAGES", "1.0=demo/a:1 2.0=demo/b:2", []string{"take@4 demo/a:1", "take@17 demo/b:2"}},
		{"two keys", "A_IMAGES", "x=y=demo/a:1", []string{"take@4 demo/a:1"}},
		{"tag alone", "IMAGE_A", "demo/a", nil},
		{"word after IMAGE", "A_IMAGE", "redis", []string{"unclear@0 redis"}},
		{"word that is a switch", "A_IMAGE", "true", nil},
		{"host and port", "IMAGE_CACHE", "cache:8080", []string{"unclear@0 cache:8080"}},
		{"port of four digits is a tag", "IMAGE_A", "registry:2", []string{"take@0 registry:2"}},
		{"shell variable", "A_IMAGE", "$(OTHER)", []string{"placeholder@0 $(OTHER)"}},
		{"template with spaces", "A_IMAGE", "{{ .Values.a }}:1", []string{"placeholder@0 {{ .Values.a }}:1"}},
		{"sentence in capitals", "A_IMAGE", "FILLED BY CI", []string{"placeholder@0 FILLED BY CI"}},
		{"placeholder among others", "A_IMAGES", "demo/a:1\n${B}\n", []string{"take@0 demo/a:1", "placeholder@9 ${B}"}},
		{"path", "A_IMAGE", "/var/lib/image.img", nil},
		{"empty", "A_IMAGE", "", nil},
		{"separators only", "A_IMAGE", " ,;\n", nil},
		{"equals sign only", "A_IMAGE", "=", nil},
		{"URL", "A_IMAGE", "https://example.net/a:1", nil},
		{"docker scheme", "A_IMAGE", "docker://quay.io/demo/a:1", []string{"take@0 docker://quay.io/demo/a:1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, c := range judgeVariableText(tc.variable, tc.value) {
				if tc.value[c.off:c.off+c.length] != c.text || c.form != FormEnv {
					t.Errorf("range and form of %+v", c)
				}
				got = append(got, c.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s=%q: want -, got +:\n%s", tc.variable, tc.value, diff)
			}
		})
	}
}

// TestEnv scans environment variables in their objects.
func TestEnv(t *testing.T) {
	pod := func(env string) string {
		return "kind: Pod\nspec:\n  containers:\n  - name: c\n    image: demo/app:1\n    env:\n" + env
	}
	checkGolden(t, "env", []input{
		{name: "name and value", src: pod("    - name: A_IMAGE\n      value: demo/a:1\n")},
		{name: "value first", src: pod("    - {value: demo/a:1, name: A_IMAGE}\n")},
		{name: "names", src: pod("    - {name: IMAGE, value: demo/a:1}\n    - {name: RELATED_IMAGE_B, value: demo/b:1}\n" +
			"    - {name: my.image, value: demo/c:1}\n    - {name: someImage, value: demo/d:1}\n    - {name: IMG, value: demo/e:1}\n")},
		{name: "properties of images", src: pod("    - {name: IMAGE_TAG, value: v1}\n    - {name: IMAGE_PULL_POLICY, value: Always}\n" +
			"    - {name: IMAGE_PULL_SECRET, value: demo/secret}\n    - {name: IMAGE_REGISTRY, value: quay.io/demo}\n")},
		{name: "complete reference under any name", src: pod("    - {name: SIDECAR, value: \"quay.io/demo/a:1\"}\n    - {name: URL, value: \"http://quay.io/demo/a:1\"}\n")},
		{name: "valueFrom", src: pod("    - name: A_IMAGE\n      valueFrom: {configMapKeyRef: {name: cfg, key: image}}\n")},
		{name: "no string", src: pod("    - {name: A_IMAGE, value: 42}\n    - {name: B_IMAGE, value: true}\n    - {name: C_IMAGE, value: }\n")},
		{name: "block scalar", src: pod("    - name: A_IMAGES\n      value: |\n        demo/a:1\n\n        x=demo/b:2\n")},
		{name: "folded scalar", src: pod("    - name: A_IMAGES\n      value: >\n        demo/a:1\n        demo/b:2\n")},
		{name: "double quotes with breaks", src: pod("    - name: A_IMAGES\n      value: \"demo/a:1\\ndemo/b:2\"\n")},
		{name: "JSON list", src: pod("    - {name: A_IMAGES, value: '[\"quay.io/demo/a:1\", \"quay.io/demo/b:2\"]'}\n")},
		{name: "JSON object", src: pod("    - {name: A_IMAGE, value: '{\"image\": \"demo/a:1\", \"other\": {\"image\": \"demo/b:2\"}}'}\n")},
		{name: "YAML in a variable", src: pod("    - name: CONFIG\n      value: |\n        image: demo/a:1\n        tag: v1\n")},
		{name: "alias", src: pod("    - {name: A_IMAGE, value: &v demo/a:1}\n    - {name: B_IMAGE, value: *v}\n")},
		{name: "pair outside of a container", src: "kind: Template\napiVersion: template.openshift.io/v1\nparameters:\n- {name: A_IMAGE, value: demo/a:1}\n"},
		{name: "name with a slash", src: "x: [{name: demo/image, value: demo/a:1}, {name: 'an image', value: demo/b:1}]\n"},
		{name: "capital keys of a mapping", src: "kind: ConfigMap\ndata:\n  A_IMAGE: demo/a:1\n  B_IMAGES: demo/b:1 demo/c:1\n  C_IMAGE_TAG: v1\n  D_IMAGE: redis\n"},
		{name: "placeholder", src: pod("    - {name: A_IMAGE, value: '<image>'}\n    - {name: B_IMAGE, value: '@@B@@'}\n    - {name: C_IMAGE, value: __C__}\n")},
		{name: "included word", src: pod("    - {name: A_IMAGE, value: redis}\n"), opts: Options{Include: []string{"redis"}}},
		{name: "only required", src: pod("    - {name: A_IMAGE, value: demo/a:1}\n"), opts: Options{Only: Required}},
	})
}

// TestVariables reads the names of environments of every shape.
func TestVariables(t *testing.T) {
	for src, want := range map[string]string{
		"[{name: A, value: x}, {name: B}]": "A,B",
		"[{value: x}, 42, [name], ~]":      "",
		"[&a {name: A}, *a]":               "A",
		"{name: A}":                        "",
		"A":                                "",
		"[]":                               "",
	} {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(src), &n); err != nil {
			t.Fatal(err)
		}
		got := variables(n.Content[0])
		for _, name := range strings.Split(want, ",") {
			if name != "" && !got[name] {
				t.Errorf("%s: %s is missing in %v", src, name, got)
			}
		}
		if len(got) != len(strings.FieldsFunc(want, func(r rune) bool { return r == ',' })) {
			t.Errorf("%s: got %v, want %s", src, got, want)
		}
	}
	if variables(nil) != nil {
		t.Error("no environment has variables")
	}
}

func TestWords(t *testing.T) {
	for _, tc := range []struct {
		s, sep string
		want   map[int]string
	}{
		{"", " ", map[int]string{}},
		{"a", " ", map[int]string{0: "a"}},
		{"  a b", " ", map[int]string{2: "a", 4: "b"}},
		{"a,b ", ", ", map[int]string{0: "a", 2: "b"}},
		{"a\n\nbc\n", "\n", map[int]string{0: "a", 3: "bc"}},
	} {
		got := map[int]string{}
		for off, w := range words(tc.s, tc.sep) {
			got[off] = w
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%q: %s", tc.s, diff)
		}
	}
	for range words("a b c", " ") {
		break // the iterator must not call yield again
	}
}
