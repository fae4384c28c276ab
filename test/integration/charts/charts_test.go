// Package charts runs bundle scan on charts and kustomizations with the real helm and
// kustomize, of the versions in the Makefile.
package charts

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stowage/internal/need"
)

// tools puts the pinned programs, and nothing else, into PATH.
func tools(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(os.Getenv("STOWAGE_TOOLS"), name)
		_, err := os.Stat(path)
		need.Part(t, name, err)
		if err := os.Symlink(path, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv("HOME", dir)
}

// reference is an image of the JSON output.
type reference struct {
	Name, Class, File string
	Line, Column      int
}

// scan runs bundle scan and returns what it found, with its messages.
func scan(t *testing.T, bin string, args ...string) (found []reference, messages string) {
	t.Helper()
	cmd := exec.Command(bin, append([]string{"scan", "-o", "json"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, &stderr)
	}
	for line := range bytes.Lines(out) {
		var l struct{ Reference *reference }
		if err := json.Unmarshal(line, &l); err != nil {
			t.Fatal(err)
		}
		if l.Reference != nil {
			found = append(found, *l.Reference)
		}
	}
	return found, stderr.String()
}

// names returns the names of images, sorted, each once.
func names(found []reference) string {
	var out []string
	for _, r := range found {
		out = append(out, r.Name)
	}
	slices.Sort(out)
	return strings.Join(slices.Compact(out), " ")
}

func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "bundle")
	cmd := exec.Command("go", "build", "-o", bin, "./cmd/bundle")
	cmd.Dir = filepath.Join("..", "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// TestChart renders a chart with a subchart, a hook, a CustomResourceDefinition and a list of
// images. The place of each image is that in "helm template --show-only".
func TestChart(t *testing.T) {
	bin := build(t)
	tools(t, "helm")
	const chart = "testdata/shop"
	found, messages := scan(t, bin, "-f", chart)
	want := "docker.io/library/busybox:1.36 quay.io/shop/extra:1 quay.io/shop/sub:1 quay.io/shop/web:9"
	if got := names(found); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if !strings.Contains(messages, "rendered testdata/shop with helm v3") {
		t.Errorf("no version in %s", messages)
	}
	templates := 0
	for _, r := range found {
		below, err := filepath.Rel(chart, r.File)
		if err != nil || !filepath.IsLocal(below) {
			t.Errorf("%s is at %s, outside of the chart", r.Name, r.File)
			continue
		}
		text, err := os.ReadFile(r.File)
		if below != "Chart.yaml" {
			templates++
			text, err = exec.Command("helm", "template", chart, "--show-only", below).Output()
		}
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		if r.Line > len(lines) || !strings.HasPrefix(lines[r.Line-1][r.Column-1:], strings.TrimPrefix(r.Name, "docker.io/library/")) {
			t.Errorf("%s is not at %s:%d:%d", r.Name, r.File, r.Line, r.Column)
		}
	}
	if templates != 3 {
		t.Errorf("%d images in templates, want 3", templates)
	}
}

// TestFlags hands each flag to helm.
func TestFlags(t *testing.T) {
	bin := build(t)
	tools(t, "helm")
	for args, want := range map[string]string{
		"--values testdata/values.yaml":                                    "quay.io/shop/web:77",
		"--set image.tag=78":                                               "quay.io/shop/web:78",
		"--api-versions demo.example.com/v1 --kube-version 1.33.0":         "quay.io/shop/exporter:33",
		"--release-name r --namespace n --include-crds":                    "quay.io/shop/web:9",
		"--values testdata/values.yaml --set image.repository=quay.io/x/y": "quay.io/x/y:77",
	} {
		found, _ := scan(t, bin, append([]string{"-f", "testdata/shop"}, strings.Fields(args)...)...)
		if !strings.Contains(" "+names(found)+" ", " "+want+" ") {
			t.Errorf("%s: got %s, want %s", args, names(found), want)
		}
	}
}

// TestErrors shows the errors of helm whole.
func TestErrors(t *testing.T) {
	bin := build(t)
	tools(t, "helm")
	for args, want := range map[string][]string{
		"-f testdata/broken":                  {"broken/templates/a.yaml:1:6", "error: way", "helm template testdata/broken"},
		"-f testdata/shop --values nowhere":   {"nowhere: no such file"},
		"-f testdata/shop --kube-version odd": {"invalid kube version"},
	} {
		out, err := exec.Command(bin, append([]string{"scan"}, strings.Fields(args)...)...).CombinedOutput()
		exit, ok := err.(*exec.ExitError)
		if !ok || exit.ExitCode() != 1 {
			t.Errorf("%s: %v, want exit code 1", args, err)
		}
		for _, text := range want {
			if !strings.Contains(string(out), text) {
				t.Errorf("%s: no %q in\n%s", args, text, out)
			}
		}
	}
}

// TestKustomization builds an overlay.
func TestKustomization(t *testing.T) {
	bin := build(t)
	tools(t, "kustomize")
	found, messages := scan(t, bin, "-f", "testdata/over")
	if names(found) != "quay.io/shop/base:2" || found[0].File != "testdata/over" || found[0].Line != 7 {
		t.Errorf("got %+v", found)
	}
	if !strings.Contains(messages, "rendered testdata/over with kustomize v5") {
		t.Errorf("no version in %s", messages)
	}
}
