package scan

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestImageList distinguishes image lists from other documents.
func TestImageList(t *testing.T) {
	for _, tc := range []struct {
		name, src string
		want      []string // nil when it is no list
	}{
		{"one", "demo/a:1", []string{"demo/a:1"}},
		{"lines", "demo/a:1\nquay.io/demo/b\nredis\n", []string{"demo/a:1", "quay.io/demo/b", "redis"}},
		{"comments", "# a\ndemo/a:1 # b\n\n  # c\n\tdemo/b:1\t#d\n", []string{"demo/a:1", "demo/b:1"}},
		{"marker first", "---\ndemo/a:1\n", []string{"demo/a:1"}},
		{"marker with white space", " ---\ndemo/a:1\n", []string{"demo/a:1"}},
		{"marker later", "demo/a:1\n---x\n", nil},
		{"CRLF", "demo/a:1\r\ndemo/b:1\r\n", []string{"demo/a:1", "demo/b:1"}},
		{"placeholder", "${A}\ndemo/b:1\n", []string{"${A}", "demo/b:1"}},
		{"half are references", "demo/a:1\nNO\n", []string{"demo/a:1", "NO"}},
		{"fewer than half", "demo/a:1\nNO\nNO\n", nil},
		{"two words", "demo/a:1 demo/b:1\n", nil},
		{"YAML list", "- demo/a:1\n", nil},
		{"key", "image:\n", nil},
		{"mapping", "image: demo/a:1\n", nil},
		{"flow", "{a}\n", nil},
		{"text", "just some words\n", nil},
		{"quotes", "'demo/a:1'\n", nil},
		{"empty", "", nil},
		{"comments only", "# demo/a:1\n", nil},
		{"numbers", "1.25\n42\n", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			lines, ok := imageList([]byte(tc.src))
			var got []string
			for _, l := range lines {
				got = append(got, l.text)
				if !strings.HasPrefix(tc.src[l.off:], l.text) || strings.Count(tc.src[:l.off], "\n") != l.number {
					t.Errorf("%q is not at %d in line %d", l.text, l.off, l.number)
				}
			}
			if ok != (tc.want != nil) {
				t.Fatalf("%q: list is %v: %q", tc.src, ok, got)
			}
			if diff := cmp.Diff(tc.want, got); ok && diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestJudgeListLine judges the words that a list may hold.
func TestJudgeListLine(t *testing.T) {
	for text, want := range map[string]string{
		"redis": "take@4 redis", "demo/a:1": "take@4 demo/a:1", "${A}/b": "placeholder@4 ${A}/b", "demo/a:VERSION": "take@4 demo/a:VERSION",
		"sha256:" + hex64: "ignore@4 sha256:" + hex64, "<none>:<none>": "unnamed@4 <none>:<none>", "demo/a:<none>": "unnamed@4 demo/a:<none>",
		"NO": "", "demo/a:": "", "https://demo/a:1": "",
	} {
		c, err := judgeListLine(listLine{number: 2, off: 4, text: text})
		switch {
		case want == "" && !errors.Is(err, errNoReference):
			t.Errorf("%s: got %v, %v, want an error", text, c, err)
		case want != "" && (err != nil || c.String() != want || c.form != FormList || c.length != len(text)):
			t.Errorf("%s: got %v, %v, want %s", text, c, err, want)
		}
	}
}

// TestLists scans image lists.
func TestLists(t *testing.T) {
	checkGolden(t, "list", []input{
		{name: "names", src: "# images\nredis\ndemo/app:1 # why\n\nquay.io/demo/b@sha256:" + hex64 + "\n"},
		{name: "CRLF and a mark", src: "\uFEFFdemo/a:1\r\n  demo/b:1\r\n"},
		{name: "errors and the rest", src: "demo/a:1\nDemo/b:1\nhttps://demo/c\ndemo/d:1\n"},
		{name: "placeholder", src: "${A}/b:1\ndemo/c:1\n"},
		{name: "two lists", src: "demo/a:1\n---\ndemo/b:1\n"},
		{name: "same name twice", src: "redis\nredis:latest\ndocker.io/library/redis\n"},
		{name: "lock file", src: "docker.io/demo/a:1@sha256:" + hex64 + "\n"},
		{name: "registries with a warning", src: "localhost:5000/a:1\nregistry.demo.svc:5000/b:1\nhost/c:1\n"},
		{name: "only indirect", src: "demo/a:1\n", opts: Options{Only: Indirect}},
		{name: "excluded", src: "demo/a:1\ndemo/b:1\n", opts: Options{Exclude: []string{"*/a:?"}}},
	})
}

// TestNodeLists scans what the programs of a node list.
func TestNodeLists(t *testing.T) {
	d := func(c string) string { return "sha256:" + strings.Repeat(c, 64) }
	image := func(id, tags, digests string) string {
		return `{"id":"` + d(id) + `","repoTags":[` + tags + `],"repoDigests":[` + digests + `],"size":"320","uid":null,"username":"","spec":null,"pinned":false}`
	}
	crictl := `{"images":[` + strings.Join([]string{
		image("1", `"registry.k8s.io/pause:3.10","quay.io/mirror/pause:3.10"`, `"registry.k8s.io/pause@`+d("2")+`"`),
		image("3", "", ""),
		image("4", "", `"docker.io/library/busybox@`+d("5")+`","quay.io/demo/busybox@`+d("5")+`"`),
		image("6", `"docker.io/demo/app:1"`, `"docker.io/demo/app@`+d("7")+`","docker.io/demo/app@`+d("8")+`"`),
	}, ",\n") + "]}\n"
	checkGolden(t, "nodelist", []input{
		{name: "crictl images -o json", src: crictl},
		{name: "excluded", src: crictl, opts: Options{Exclude: []string{"*/pause:*", "*/busybox@*"}}},
		{name: "only indirect", src: crictl, opts: Options{Only: Indirect}},
		{name: "as YAML", src: "images:\n- id: " + d("1") + "\n  repoTags: [demo/a:1]\n  repoDigests: []\n"},
		{name: "odd values", src: `{"images":[{"repoTags":[1,"NO",{}],"repoDigests":"x"},{"repoDigests":[null,"demo/a:1"]}]}`},
		{name: "no list", src: `{"images":[{"name":"quay.io/demo/a:1"},{"repoTags":["demo/b:1"]}]}`},
		{name: "ctr images ls -q", src: "docker.io/library/busybox:1\ndocker.io/library/busybox@" + d("5") + "\nsha256:" + strings.Repeat("4", 64) + "\n"},
		{name: "only IDs", src: d("1") + "\n" + d("2") + "\n"},
		{name: "without a name", src: "<none>:<none>\ndemo/a:<none>\ndemo/b:1\n"},
	})
}
