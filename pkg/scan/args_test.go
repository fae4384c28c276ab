package scan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCommand judges command lines, one argument a row; what is found is written as
// verdict@offset text, with the line after a slash.
func TestCommand(t *testing.T) {
	const d = "@sha256:" + hex64
	for _, tc := range []struct {
		name string
		args []string
		want []string
	}{
		{"nothing", []string{"serve", "--port=80", "-v", "2"}, nil},
		{"flag with a value", []string{"--proxy-image=demo/proxy:1"}, []string{"take@14 demo/proxy:1"}},
		{"flag and next word", []string{"--proxy-image", "demo/proxy:1"}, []string{"take@0 demo/proxy:1"}},
		{"single dash", []string{"-proxyImage", "demo/proxy:1"}, []string{"take@0 demo/proxy:1"}},
		{"flag, flag, word", []string{"--proxy-image", "--other", "demo/proxy:1"}, nil},
		{"word after the value", []string{"--proxy-image=demo/a:1", "demo/b:1"}, []string{"take@14 demo/a:1"}},
		{"complete reference alone", []string{"quay.io/demo/a:1"}, []string{"take@0 quay.io/demo/a:1"}},
		{"complete reference after any flag", []string{"--from=quay.io/demo/a:1"}, []string{"take@7 quay.io/demo/a:1"}},
		{"short reference after any flag", []string{"--from=demo/a:1"}, nil},
		{"digest", []string{"--from=demo/a" + d}, []string{"take@7 demo/a" + d}},
		{"several", []string{"--images=demo/a:1,demo/b:2"}, []string{"take@9 demo/a:1", "take@18 demo/b:2"}},
		{"key before the reference", []string{"--image-map=a=demo/a:1"}, []string{"take@14 demo/a:1"}},
		{"two keys before the reference", []string{"--image-map=a=b=demo/a:1"}, []string{"take@16 demo/a:1"}},
		{"word without tag", []string{"--proxy-image=redis"}, []string{"unclear@14 redis"}},
		{"path without tag", []string{"--image-base=demo/a"}, nil},
		{"path without tag after image", []string{"--base-image=demo/a"}, []string{"take@13 demo/a"}},
		{"host and port", []string{"--image-service=cache:8080"}, []string{"unclear@16 cache:8080"}},
		{"variable of the container", []string{"--proxy-image=$(PROXY)"}, nil},
		{"variable of the container with a tag", []string{"--proxy-image=$(PROXY):1"}, nil},
		{"unknown variable", []string{"--proxy-image=$(OTHER)"}, []string{"placeholder@14 $(OTHER)"}},
		{"open variable", []string{"--proxy-image=$(PROXY"}, []string{"placeholder@14 $(PROXY"}},
		{"shell variable", []string{"--proxy-image=${X}/a:1"}, []string{"placeholder@14 ${X}/a:1"}},
		{"target of a build", []string{"--destination=quay.io/demo/a:1"}, []string{"unclear@14 quay.io/demo/a:1"}},
		{"target of a build, short", []string{"--destination", "demo/a:1"}, nil},
		{"assignment", []string{"PROXY_IMAGE=demo/a:1"}, []string{"take@12 demo/a:1"}},
		{"assignment of something else", []string{"PROXY_IMAGE_TAG=demo/a:1"}, nil},
		{"assignment behind a path", []string{"/etc/IMAGE=demo/a:1"}, nil},
		{"scheme", []string{"--image=docker://quay.io/demo/a:1"}, []string{"take@8 docker://quay.io/demo/a:1"}},
		{"OCI scheme", []string{"--image=oci://quay.io/demo/a:1"}, []string{"unclear@8 oci://quay.io/demo/a:1"}},
		{"URL", []string{"--image-url=https://example.net/demo/a:1"}, nil},
		{"tag, policy, secret", []string{"--image-tag=v1", "--image-pull-policy=Always", "--image-pull-secrets=demo/a"}, nil},
		{"taint", []string{"--taint=node.example.net/role:NoSchedule"}, nil},
		{"admission plugin", []string{"--enable-admission-plugins=NodeRestriction,AlwaysPullImages"}, []string{"alwaysPull@43 AlwaysPullImages"}},
		{"old admission flag and next word", []string{"--admission-control", "AlwaysPullImages"}, []string{"alwaysPull@0 AlwaysPullImages"}},
		{"disabled plugin", []string{"--disable-admission-plugins=AlwaysPullImages"}, nil},
		{"script", []string{"set -e\npodman pull quay.io/demo/a:1\n"}, []string{"take@19/2 quay.io/demo/a:1"}},
		{"script of one line", []string{"podman pull quay.io/demo/a:1"}, []string{"take@12 quay.io/demo/a:1"}},
		{"comment in a script", []string{"x # quay.io/demo/a:1\ny quay.io/demo/b:1"}, []string{"take@23/2 quay.io/demo/b:1"}},
		{"empty lines count", []string{"\n\nx quay.io/demo/b:1\n"}, []string{"take@4/3 quay.io/demo/b:1"}},
		{"flag in a script", []string{"x --a-image 'demo/a:1' && y"}, []string{"take@13 demo/a:1"}},
		{"flag at the end of a line", []string{"x --a-image\ndemo/a:1"}, nil},
		{"substitution", []string{"x $(y quay.io/demo/a:1)|z"}, []string{"take@6 quay.io/demo/a:1"}},
		{"assignment in a script", []string{"export A_IMAGE=\"demo/a:1\"; run"}, nil},
		{"flag before a script", []string{"--a-image", "demo/a:1 demo/b:1"}, []string{"take@0 demo/a:1"}},
		{"URL in a script", []string{"curl https://quay.io/demo/a:1"}, nil},
		{"empty", []string{"", " ", "\n", "-", "--", "=", "--=", ","}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := command{vars: map[string]bool{"PROXY": true}}
			var got []string
			for _, arg := range tc.args {
				for _, found := range c.argument(arg) {
					if arg[found.off:found.off+found.length] != found.text || found.form != FormArg {
						t.Errorf("%q: range and form of %+v", arg, found)
					}
					got = append(got, found.String())
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%q: want -, got +:\n%s", tc.args, diff)
			}
		})
	}
}

// TestArgs scans command lines in their objects.
func TestArgs(t *testing.T) {
	pod := func(args string) string {
		return "kind: Pod\nspec:\n  containers:\n  - name: c\n    image: demo/app:1\n" + args
	}
	checkGolden(t, "args", []input{
		{name: "args and command", src: pod("    command: [run, --a-image, demo/a:1]\n    args: [--b-image=demo/b:1]\n")},
		{name: "extraArgs and entrypoint", src: "extraArgs: [--a-image=demo/a:1]\nentrypoint: [--b-image=demo/b:1]\n"},
		{name: "extraArgs as a mapping", src: "extraArgs: {a-image: demo/a:1, tag: v1}\n"},
		{name: "args as a text", src: pod("    args: --b-image=demo/b:1\n")},
		{name: "no strings", src: pod("    args: [--b-image, 42, demo/b:1, --c-image, true, ~, demo/c:1]\n")},
		{name: "nested list", src: pod("    args: [--a-image, [demo/a:1], {image: demo/b:1}, demo/c:1]\n")},
		{name: "alias", src: pod("    args: [&a --a-image=demo/a:1, *a]\n")},
		{name: "quoted with escapes", src: pod("    args: [\"--a-image=\\x64emo/a:1\", '--b-image=demo/b:1']\n")},
		{name: "block scalar", src: pod("    args:\n    - |\n      x=1\n      run --a-image=demo/a:1 \\\n        --b-image=demo/b:1\n")},
		{name: "folded scalar", src: pod("    args:\n    - >-\n      run\n      --a-image=demo/a:1\n\n      --b-image=demo/b:1\n")},
		{name: "script with CRLF", src: strings.ReplaceAll(pod("    args:\n    - |\n      a\n      run quay.io/demo/a:1\n"), "\n", "\r\n")},
		{name: "JSON in an argument", src: pod("    args: ['{\"sidecar\": {\"image\": \"demo/a:1\"}}', '[{\"image\": \"demo/b:1\"} ]']\n")},
		{name: "template in an argument", src: pod("    args: ['--a-image={{ .Values.image }}', '{{ if .x }} --b-image=demo/b:1']\n")},
		{name: "variable judged where it is defined", src: pod("    env: [{name: HELPER_IMAGE, value: demo/helper:1}]\n    args: [--helper-image=$(HELPER_IMAGE), --other-image=$(OTHER)]\n")},
		{name: "variable without an image", src: pod("    env: [{name: HELPER, value: x}]\n    args: [--helper-image=$(HELPER)]\n")},
		{name: "variable of another container", src: pod("    env: [{name: HELPER, value: x}]\n  - name: d\n    image: demo/d:1\n    args: [--helper-image=$(HELPER)]\n")},
		{name: "admission plugin", src: pod("    command:\n    - kube-apiserver\n    - --enable-admission-plugins=AlwaysPullImages\n")},
		{name: "kaniko", src: pod("    args: [--dockerfile=Dockerfile, --destination=quay.io/demo/built:1, --cache-repo=quay.io/demo/cache:1]\n")},
		{name: "included target", src: pod("    args: [--destination=quay.io/demo/built:1]\n"), opts: Options{Include: []string{"quay.io/demo/*"}}},
		{name: "excluded", src: pod("    args: [--a-image=demo/a:1, --b-image=redis]\n"), opts: Options{Exclude: []string{"*/demo/a:*", "redis"}}},
		{name: "same word many times", src: pod("    args:\n    - |\n" + strings.Repeat("      run quay.io/demo/a:1\n", 3))},
	})
}
