package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"gopkg.in/yaml.v3"

	"stowage/cmd/internal/cli"
	"stowage/pkg/pull"
	"stowage/pkg/scan"
)

// lockOf returns the lock file that scan --pin would print for manifests.
func lockOf(t *testing.T, manifests string) string {
	t.Helper()
	s := scan.New(scan.Options{})
	if err := s.Scan("app.yaml", strings.NewReader(manifests)); err != nil {
		t.Fatal(err)
	}
	result := s.Result()
	result.LeftOut = []scan.LeftOut{{Name: "quay.io/t/stale:v1", Reason: "no such image"}}
	var pinned []pull.Lock
	for _, name := range result.Names() {
		pinned = append(pinned, pull.Lock{Name: name, Digest: digest.FromString(name)})
	}
	return strings.Join(lockFile(result, pinned), "\n") + "\n"
}

// TestRenovate matches lock files and image lists with the expression of renovate.json.
// Renovate uses RE2, of which Go's syntax is a part.
func TestRenovate(t *testing.T) {
	var preset struct {
		CustomManagers []struct {
			ManagerFilePatterns, MatchStrings []string
		}
	}
	readFile(t, "renovate.json", json.Unmarshal, &preset)
	manager := preset.CustomManagers[0]
	match := regexp.MustCompile(manager.MatchStrings[0])
	one, two := digest.FromString("docker.io/library/one:v1"), digest.FromString("localhost:5000/t/two:latest")
	pinned := digest.FromString("x")
	for _, test := range []struct {
		name, text string
		want       [][3]string // name, tag, digest
	}{
		{
			"lock file", lockOf(t, "kind: Pod\nspec:\n  containers:\n  - image: one:v1\n  - image: localhost:5000/t/two\n  - image: quay.io/t/three:v3@"+pinned.String()+"\n"),
			[][3]string{{"docker.io/library/one", "v1", one.String()}, {"localhost:5000/t/two", "latest", two.String()}, {"quay.io/t/three", "v3", pinned.String()}},
		},
		{
			"image list", "# quay.io/t/comment:v1\nquay.io/t/one:v1 # quay.io/t/two:v1\r\n\r\n  busybox:1.36\nno/tag\nquay.io/t/d@" + pinned.String() + "\nr.example:443/a/b:v1",
			[][3]string{{"quay.io/t/one", "v1", ""}, {"busybox", "1.36", ""}, {"r.example:443/a/b", "v1", ""}},
		},
		{"nothing", "# lock file of bundle scan --pin\n# left out: quay.io/t/one:v1@" + pinned.String() + " gone\n", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got [][3]string
			for _, m := range match.FindAllStringSubmatch(test.text, -1) {
				got = append(got, [3]string{m[match.SubexpIndex("depName")], m[match.SubexpIndex("currentValue")], m[match.SubexpIndex("currentDigest")]})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("matches (-want +got) in:\n%s\n%s", test.text, diff)
			}
		})
	}
	for path, want := range map[string]bool{
		"images.lock": true, "deploy/calico-images.lock": true, "image.lst": true, "k3s-images.txt": true,
		"package-lock.json": false, "go.sum": false, "notes.txt": false,
	} {
		got := false
		for _, p := range manager.ManagerFilePatterns {
			got = got || regexp.MustCompile(strings.Trim(p, "/")).MatchString(path)
		}
		if got != want {
			t.Errorf("%s: a file of the manager: got %v, want %v", path, got, want)
		}
	}
}

// TestPreCommitHooks runs the commands of .pre-commit-hooks.yaml as pre-commit does.
func TestPreCommitHooks(t *testing.T) {
	var hooks []struct {
		ID, Entry     string
		PassFilenames *bool `yaml:"pass_filenames"`
	}
	readFile(t, ".pre-commit-hooks.yaml", yaml.Unmarshal, &hooks)
	const good = "kind: Pod\nspec:\n  containers:\n  - {image: quay.io/t/one:v1}\n"
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{
		"good.yaml": good, "images.lock": lockOf(t, good),
		"new.yaml":    "kind: Pod\nspec:\n  containers:\n  - {image: quay.io/t/one:v2}\n",
		"always.yaml": "kind: Pod\nspec:\n  containers:\n  - {image: quay.io/t/one:v1, imagePullPolicy: Always}\n",
		"empty.yaml":  "kind: Pod\nspec:\n  containers:\n  - {image: '{{ .Values.image }}'}\n",
		"wrong.yaml":  "kind: Pod\nspec:\n  containers:\n  - {image: 'quay.io/Upper/one:v1'}\n",
	} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	runs := map[string]map[string]int{ // arguments and exit code
		"bundle-scan":       {"good.yaml new.yaml": 0, "good.yaml always.yaml": 1, "empty.yaml": 1, "wrong.yaml": 1},
		"bundle-check-lock": {"images.lock -f good.yaml": 0, "images.lock -f new.yaml": 1},
	}
	if len(hooks) != len(runs) {
		t.Errorf("got %d hooks, want %d", len(hooks), len(runs))
	}
	for _, hook := range hooks {
		for args, want := range runs[hook.ID] {
			words := strings.Fields(hook.Entry + " " + args)
			var out strings.Builder
			got := program().Run(context.Background(), words[1:], cli.Streams{In: strings.NewReader(""), Out: &out, Err: &out})
			if got != want {
				t.Errorf("%q: got exit code %d, want %d; output:\n%s", words, got, want, out.String())
			}
		}
	}
}

// readFile parses a file at the root of the repository.
func readFile(t *testing.T, name string, parse func([]byte, any) error, into any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := parse(raw, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
