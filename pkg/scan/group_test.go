package scan

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"gopkg.in/yaml.v3"
)

// fieldsOf returns the fields of a mapping in flow style.
func fieldsOf(t *testing.T, src string) fields {
	t.Helper()
	var n yaml.Node
	if err := yaml.Unmarshal([]byte(src), &n); err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	b := &budget{limits: (&Options{}).limits()}
	f, _ := b.fields(n.Content[0], 0)
	return f
}

// TestGroups judges references in several fields, below the key above.
func TestGroups(t *testing.T) {
	const d = "sha256:" + hex64
	for _, tc := range []struct {
		name, above, src, want string
		used                   string
	}{
		{"chart", "image", "{registry: quay.io, repository: demo/a, tag: v1}", "take quay.io/demo/a:v1", "registry repository tag"},
		{"without registry", "image", "{repository: demo/a, tag: v1}", "take demo/a:v1", "repository tag"},
		{"registry in both", "image", "{registry: quay.io, repository: ghcr.io/demo/a, tag: v1}", "take ghcr.io/demo/a:v1", "registry repository tag"},
		{"registry with a slash at the end", "image", "{registry: quay.io/demo/, repository: a, tag: v1}", "take quay.io/demo/a:v1", "registry repository tag"},
		{"empty registry", "image", "{registry: '', repository: demo/a, tag: v1}", "take demo/a:v1", "registry repository tag"},
		{"tag of a number", "image", "{repository: demo/a, tag: 1.10}", "take demo/a:1.10", "repository tag"},
		{"empty tag", "image", "{repository: demo/a, tag: ''}", "untagged demo/a", "repository tag"},
		{"null tag", "image", "{repository: demo/a, tag: }", "untagged demo/a", "repository tag"},
		{"word without tag", "image", "{repository: a, tag: ''}", "ignore a", "repository tag"},
		{"digest", "image", "{repository: demo/a, digest: '" + d + "'}", "take demo/a@" + d, "repository digest"},
		{"tag and digest", "image", "{repository: demo/a, tag: v1, digest: '" + d + "'}", "take demo/a:v1@" + d, "repository tag digest"},
		{"digest not used", "image", "{repository: demo/a, tag: v1, useDigest: false, digest: '" + d + "'}", "take demo/a:v1", "repository tag digest"},
		{"digest without an algorithm", "image", "{repository: demo/a, tag: v1, digest: " + hex64 + "}", "take demo/a:v1", "repository tag digest"},
		{"sha", "image", "{repository: demo/a, sha: '" + d + "'}", "take demo/a@" + d, "repository sha"},
		{"template", "image", "{repository: demo/a, tag: '{{ .v }}'}", "placeholder demo/a:{{ .v }}", "repository tag"},
		{"template as repository", "image", "{repository: '${R}', tag: v1}", "placeholder ${R}:v1", "repository tag"},
		{"not a tag", "image", "{repository: demo/a, tag: not a tag}", "malformed demo/a:not a tag", "repository tag"},
		{"capitals", "image", "{repository: Demo/a, tag: v1}", "", ""},
		{"repository with a tag", "image", "{repository: 'demo/a:v2', tag: v1}", "", ""},
		{"key ends in image", "sidecarImage", "{repository: demo/a, tag: v1}", "take demo/a:v1", "repository tag"},
		{"key images", "images", "{repository: demo/a, tag: v1}", "take demo/a:v1", "repository tag"},
		{"git", "source", "{repository: demo/a, tag: v1}", "", ""},
		{"git with a host", "source", "{repository: git.example.net/demo/a, tag: v1}", "take git.example.net/demo/a:v1", "repository tag"},
		{"pull policy shows an image", "app", "{repository: demo/a, tag: v1, pullPolicy: Always}", "take demo/a:v1", "repository tag"},
		{"registry shows an image", "app", "{registry: quay.io, repository: demo/a, tag: v1}", "take quay.io/demo/a:v1", "registry repository tag"},
		{"repo", "image", "{repo: demo/a, tag: v1}", "take demo/a:v1", "repo tag"},
		{"imageRepository and imageTag", "dns", "{imageRepository: demo/a, imageTag: v1}", "take demo/a:v1", "imageRepository imageTag"},
		{"image and tag", "app", "{image: demo/a, tag: v1}", "take demo/a:v1", "image tag"},
		{"image and empty tag", "app", "{image: demo/a, tag: ''}", "", ""},
		{"image_name and image_tag", "app", "{image_name: demo/a, image_tag: v1}", "take demo/a:v1", "image_name image_tag"},
		{"kustomize", "images", "{name: demo/old, newName: demo/new, newTag: v1}", "take demo/new:v1", "newName newTag"},
		{"kustomize, tag only", "images", "{name: demo/a, newTag: v1}", "take demo/a:v1", "name newTag"},
		{"kustomize, digest", "images", "{name: demo/a, digest: '" + d + "'}", "take demo/a@" + d, "name digest"},
		{"name and version", "image", "{name: quay.io/demo/a, version: v1}", "take quay.io/demo/a:v1", "name version"},
		{"name and version of something else", "component", "{name: quay.io/demo/a, version: v1}", "", ""},
		{"dotted prefix", "data", "{scanner.repository: quay.io/demo/a, scanner.tag: v1}", "take quay.io/demo/a:v1", "scanner.repository scanner.tag"},
		{"prefix with image", "x", "{fooImageRegistry: quay.io, fooImageRepository: demo/a, fooImageTag: v1}", "take quay.io/demo/a:v1", "fooImageRegistry fooImageRepository fooImageTag"},
		{"prefix with container", "x", "{containerRepository: demo/a, containerTag: v1}", "take demo/a:v1", "containerRepository containerTag"},
		{"prefix of a chart", "x", "{chartRepository: demo/a, chartTag: v1}", "", ""},
		{"prefix without tag", "x", "{fooImageRepository: demo/a}", "", ""},
		{"two prefixes", "x", "{aImageRepository: demo/a, aImageTag: v1, bImageRepository: demo/b, bImageTag: v2}", "take demo/a:v1, take demo/b:v2",
			"aImageRepository aImageTag bImageRepository bImageTag"},
		{"plain and prefixed", "image", "{repository: demo/a, tag: v1, initImageRepository: demo/b, initImageTag: v2}", "take demo/a:v1, take demo/b:v2",
			"initImageRepository initImageTag repository tag"},
		{"empty", "image", "{}", "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := fieldsOf(t, tc.src)
			at := scope{key: tc.above}
			found, used := groups(f, at)
			var got []string
			for _, g := range found {
				c := g.judge(f, at)
				got = append(got, strings.Replace(c.String(), "@0 ", " ", 1))
				if c.form != FormGroup || c.off != 0 {
					t.Errorf("form and offset of %+v", c)
				}
			}
			if diff := cmp.Diff(tc.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("%s below %s: want -, got +:\n%s", tc.src, tc.above, diff)
			}
			keys := make([]string, 0, len(used))
			for k := range used {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			want := strings.Fields(tc.used)
			slices.Sort(want)
			if !slices.Equal(keys, want) {
				t.Errorf("%s: used %v, want %v", tc.src, keys, want)
			}
		})
	}
}

// TestGroupPlaces scans groups in their objects: the position is that of the repository.
func TestGroupPlaces(t *testing.T) {
	checkGolden(t, "group", []input{
		{name: "block style", src: "image:\n  registry: quay.io\n  repository: demo/a\n  tag: \"1.10\"\n  pullPolicy: Always\n"},
		{name: "JSON", src: `{"image": {"registry": "quay.io", "repository": "demo/a", "tag": "v1"}}`},
		{name: "in quotes", src: "image: {repository: 'demo/a', tag: 'v1'}\n"},
		{name: "anchors", src: "a: {image: &i {repository: demo/a, tag: v1}}\nb: {image: *i}\n"},
		{name: "merged", src: "base: &b {repository: demo/a, tag: v1}\nimage: {<<: *b, tag: v2}\n"},
		{name: "block scalar", src: "image:\n  repository: >-\n    demo/a\n  tag: v1\n"},
		{name: "fields beside the group", src: "image: {repository: demo/a, tag: v1, other: {image: demo/b:1}, digest: ''}\n"},
		{name: "in a text", src: "data:\n  values.yaml: |\n    image:\n      repository: demo/a\n      tag: v1\n"},
		{name: "list", src: "images:\n- {name: demo/old, newName: quay.io/demo/new, newTag: v1}\n- {name: demo/b, newTag: v2}\n"},
		{name: "untagged", src: "image: {registry: quay.io, repository: demo/a}\n"},
		{name: "placeholder longer than the repository", src: "image: {repository: a, tag: \"${VERSION_OF_THE_IMAGE}\"}\n"},
		{name: "prefixed", src: "kind: ConfigMap\ndata:\n  x.repository: quay.io/demo/a\n  x.tag: v1\n"},
		{name: "excluded", src: "image: {repository: demo/a, tag: v1}\n", opts: Options{Exclude: []string{"demo/a:v1"}}},
		{name: "cluster registry", src: "image: {registry: \"registry.demo.svc:5000\", repository: a, tag: v1}\n"},
	})
}
