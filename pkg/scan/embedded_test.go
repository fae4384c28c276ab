package scan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJudgeText judges texts that are neither YAML nor JSON.
func TestJudgeText(t *testing.T) {
	const d = "@sha256:" + hex64
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", nil},
		{"key and value", "{{ x }}\nimage: demo/a:1\n", []string{"take@15/2 demo/a:1"}},
		{"quoted value", "image: \"demo/a:1\"\nfooImage: 'demo/b:1'", []string{"take@8/1 demo/a:1", "take@29/2 demo/b:1"}},
		{"assignment", "FOO_IMAGE=demo/a:1\nfooImage = demo/b:1", []string{"take@10/1 demo/a:1", "take@30/2 demo/b:1"}},
		{"list of keys", "  - image: demo/a:1", []string{"take@11/1 demo/a:1"}},
		{"flag", "--foo-image=demo/a:1", []string{"take@12/1 demo/a:1"}},
		{"semicolon", "image = 'demo/a:1';", []string{"take@9/1 demo/a:1"}},
		{"comment after", "image: demo/a:1 # demo/b:1", []string{"take@7/1 demo/a:1"}},
		{"comment", "# image: demo/a:1\n// image: demo/a:1", nil},
		{"template", "image: {{ .Values.image }}", []string{"placeholder@7/1 {{ .Values.image }}"}},
		{"template and comment", "image: {{ .a }} # b", []string{"placeholder@7/1 {{ .a }}"}},
		{"other key", "picture: demo/a:1\nimageTag: v1", nil},
		{"complete reference under any key", "x=quay.io/demo/a:1", []string{"take@2/1 quay.io/demo/a:1"}},
		{"complete reference alone", "x\n  quay.io/demo/a:1  \n", []string{"take@4/2 quay.io/demo/a:1"}},
		{"digest alone", "x y\ndemo/a" + d, []string{"take@4/2 demo/a" + d}},
		{"complete reference in a sentence", "see quay.io/demo/a:1 for more", nil},
		{"word", "image: redis", nil},
		{"image list", "# x\nquay.io/demo/a:1\ndemo/b:1\n", []string{"take@4/2 quay.io/demo/a:1", "take@21/3 demo/b:1"}},
		{"image list with words", "quay.io/demo/a:1\nredis\n", []string{"take@0/1 quay.io/demo/a:1"}},
		{"list of other words", "demo/b:1\nredis\n", nil},
		{"empty lines", "\n\n\nimage: demo/a:1", []string{"take@10/4 demo/a:1"}},
		{"CRLF", "{{ x }}\r\nimage: demo/a:1\r\n", []string{"take@16/2 demo/a:1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, c := range judgeText([]byte(tc.text)) {
				if tc.text[c.off:c.off+c.length] != c.text || c.form != FormText {
					t.Errorf("range and form of %+v", c)
				}
				got = append(got, c.String())
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%q: want -, got +:\n%s", tc.text, diff)
			}
		})
	}
}

// TestEmbedded scans texts in values: the forms in them, their level, and positions.
func TestEmbedded(t *testing.T) {
	data := func(text string) string { return "kind: ConfigMap\nmetadata: {name: c}\ndata:\n" + text }
	checkGolden(t, "embedded", []input{
		{name: "manifest", src: data("  pod.yaml: |\n    kind: Pod\n    spec:\n      containers:\n      - name: x\n        image: demo/a:1\n")},
		{name: "manifest in a variable of a pod", src: "kind: Pod\nspec:\n  containers:\n  - name: c\n    image: demo/app:1\n    env:\n    - name: POD\n      value: |\n" +
			"        containers: [{image: demo/a:1}, {image: A/B}, {image: '${C}'}]\n"},
		{name: "several documents", src: data("  all.yaml: |\n    image: demo/a:1\n    ---\n    # next\n    image: demo/b:1\n")},
		{name: "JSON", src: data("  a.json: |\n    {\"image\":\n      \"demo/a:1\"}\n  b.json: '{\"image\": \"demo/b:1\"}'\n  c.json: \"{\\\"image\\\": \\\"demo/c:1\\\"}\"\n")},
		{name: "flow style in one line", src: data("  a: '{image: demo/a:1, other: [{image: demo/b:1}]}'\n")},
		{name: "YAML in YAML", src: data("  a: |\n    b: |\n      image: demo/a:1\n    image: demo/b:1\n")},
		{name: "three levels", src: data("  a: |\n    b: |\n      c: |\n        image: demo/deep:1\n      image: demo/a:1\n")},
		{name: "folded text", src: data("  a: >\n    image: demo/a:1\n\n    x: y\n")},
		{name: "indented block", src: data("  a: |2\n      image: demo/a:1\n")},
		{name: "quoted with escapes", src: data("  a: \"image: demo/a:1\\nfooImage: demo\\u002Fb:1\\n\"\n")},
		{name: "CRLF", src: strings.ReplaceAll(data("  a: |\n    x: y\n    image: demo/a:1\n"), "\n", "\r\n")},
		{name: "template", src: data("  a: |\n    {{- if .x }}\n    image: demo/a:1\n    sidecarImage: {{ .y }}\n    {{- end }}\n")},
		{name: "properties", src: data("  a: |\n    x.image=demo/a:1\n    y.tag=v1\n    z=quay.io/demo/b:1\n")},
		{name: "script", src: data("  run.sh: |\n    #!/bin/sh\n    # quay.io/demo/no:1\n    podman run quay.io/demo/a:1\n    A_IMAGE=demo/b:1\n")},
		{name: "image list", src: data("  images.txt: |\n    quay.io/demo/a:1\n    demo/b:1\n    redis\n")},
		{name: "wide characters", src: data("  a: |\n    # é 😀\n    'ü': 'é'\n    image: demo/a:1\n")},
		{name: "key with an underscore", src: data("  _a: |\n    image: demo/a:1\n")},
		{name: "key with an underscore in a text", src: data("  a: |\n    _b: {image: demo/a:1}\n    c: {image: demo/b:1}\n")},
		{name: "alias", src: data("  a: &a |\n    image: demo/a:1\n  b: *a\n")},
		{name: "Secret in a text", src: data("  a: |\n    apiVersion: v1\n    kind: Secret\n    stringData: {image: demo/a:1}\n")},
		{name: "broken YAML", src: data("  a: |\n    image: demo/a:1\n    b: [\n")},
		{name: "binaryData", src: "kind: ConfigMap\nbinaryData: {a: aW1hZ2U6IGRlbW8vYToxCg==}\n"},
		{name: "last applied configuration", src: "kind: Pod\nmetadata:\n  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: |\n" +
			"      {\"spec\":{\"containers\":[{\"image\":\"demo/old:1\"}]}}\nspec: {containers: [{image: demo/new:1}]}\n"},
		{name: "long line", src: data("  a: '{\"x\": \"" + strings.Repeat("é", 5000) + "\", \"image\": \"demo/a:1\"}'\n")},
	})
}

// TestMentionsImage checks which texts are parsed at all.
func TestMentionsImage(t *testing.T) {
	for text, want := range map[string]bool{
		"image: x": true, "IMAGE=x": true, "a: containers": true, "x@sha256:": true, "x quay.io/demo/a:1 y": true, "x,quay.io/demo/a:1.": true,
		"": false, "a/b:c": false, "http://quay.io/demo": false, "quay.io/demo/a": false, "12:30 a/b": false, "\xff\xfe": false,
	} {
		if mentionsImage(text) != want {
			t.Errorf("mentionsImage(%q) = %v", text, !want)
		}
	}
}

// TestLineCount counts the lines that judgeText goes through.
func TestLineCount(t *testing.T) {
	for text, want := range map[string]int{"": 0, "a": 1, "a\n": 1, "a\nb": 2, "\n": 1, "\n\n": 2, "a\r\nb\r\n": 2} {
		if got := lineCount(text); got != want {
			t.Errorf("lineCount(%q) = %d, want %d", text, got, want)
		}
	}
}
