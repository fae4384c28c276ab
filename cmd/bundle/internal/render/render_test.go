package render

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestKindOf looks at what a directory contains.
func TestKindOf(t *testing.T) {
	for _, tc := range []struct {
		files string
		want  Kind
		err   error
	}{
		{"", Plain, nil},
		{"a.yaml values.yaml chart.yaml", Plain, nil},
		{"Chart.yaml values.yaml", Chart, nil},
		{"kustomization.yaml", Kustomization, nil},
		{"kustomization.yml", Kustomization, nil},
		{"Kustomization", Kustomization, nil},
		{"Chart.yaml/x", Plain, nil},
		{"Chart.yaml kustomization.yaml", Plain, ErrBoth},
	} {
		dir := t.TempDir()
		for _, f := range strings.Fields(tc.files) {
			path := filepath.Join(dir, f)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := KindOf(dir); got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%q: got %q, %v, want %q, %v", tc.files, got, err, tc.want, tc.err)
		}
	}
}

// TestArgs checks that no value can be taken for a flag.
func TestArgs(t *testing.T) {
	for _, tc := range []struct {
		opts Options
		dir  string
		want string
	}{
		{Options{}, "shop", "template shop"},
		{Options{}, "--post-renderer=x", "template -- --post-renderer=x"},
		{Options{ReleaseName: "--debug", Namespace: "-n"}, "shop", "template --namespace=-n -- --debug shop"},
		{Options{Values: []string{"a.yaml", "--x"}, Set: []string{"a=b,c"}}, "s", "template --values=a.yaml --values=--x --set=a=b,c s"},
		{Options{KubeVersion: "1.35", APIVersions: []string{"a/v1", "b/v1"}, IncludeCRDs: true, ReleaseName: "r"}, "/s",
			"template --kube-version=1.35 --api-versions=a/v1 --api-versions=b/v1 --include-crds r /s"},
	} {
		if got := strings.Join(tc.opts.args(tc.dir), " "); got != tc.want {
			t.Errorf("got %s, want %s", got, tc.want)
		}
		if tc.opts.IsZero() != cmp.Equal(tc.opts, Options{}) {
			t.Errorf("%+v: IsZero is %v", tc.opts, tc.opts.IsZero())
		}
	}
}

// TestTemplates splits what helm prints.
func TestTemplates(t *testing.T) {
	for _, tc := range []struct {
		name, out string
		want      []File
	}{
		{"nothing", "", nil},
		{"no source", "a: 1\n", []File{{"d", []byte("a: 1\n")}}},
		{"two documents of one template", "---\n# Source: shop/templates/a.yaml\na: 1\n---\n# Source: shop/charts/b/templates/b.yaml\nb: 1\n---\n# Source: shop/templates/a.yaml\na: 2", []File{
			{filepath.Join("d", "templates", "a.yaml"), []byte("---\n# Source: shop/templates/a.yaml\na: 1\n---\n# Source: shop/templates/a.yaml\na: 2")},
			{filepath.Join("d", "charts", "b", "templates", "b.yaml"), []byte("---\n# Source: shop/charts/b/templates/b.yaml\nb: 1\n")},
		}},
		{"a comment elsewhere", "a: 1\n# Source: shop/b.yaml\n---\n\n# Source: shop/c.yaml\n", []File{{"d", []byte("a: 1\n# Source: shop/b.yaml\n---\n\n# Source: shop/c.yaml\n")}}},
		{"paths elsewhere", "---\n# Source: shop/../../etc/a.yaml\na: 1\n---\n# Source: shop\nb: 1\n", []File{{"d", []byte("---\n# Source: shop/../../etc/a.yaml\na: 1\n---\n# Source: shop\nb: 1\n")}}},
	} {
		if diff := cmp.Diff(tc.want, templates("d", []byte(tc.out))); diff != "" {
			t.Errorf("%s: want -, got +:\n%s", tc.name, diff)
		}
	}
}

// fake puts a shell script with a name into PATH, alone.
func fake(t *testing.T, scripts map[string]string) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("the fake programs are shell scripts")
	}
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// TestRender runs fake programs.
func TestRender(t *testing.T) {
	kustomize := `case $1 in version) echo v5.0.0;; *) echo "kustomize $*";; esac`
	kubectl := `case $1 in version) printf 'Client Version: v1.35.4\nKustomize Version: v5.7.1\n';; *) echo "kubectl $*";; esac`
	for _, tc := range []struct {
		name    string
		scripts map[string]string
		kind    Kind
		want    string // program: text, or the error
	}{
		{"kustomize first", map[string]string{"kustomize": kustomize, "kubectl": kubectl}, Kustomization, "kustomize v5.0.0: kustomize build /d\n"},
		{"kubectl", map[string]string{"kubectl": kubectl}, Kustomization, "kubectl (kustomize v5.7.1): kubectl kustomize /d\n"},
		{"none", nil, Kustomization, "kustomize or kubectl is not in PATH: kubectl kustomize /d"},
		{"helm", map[string]string{"helm": `[ $1 = version ] && exit 1; echo "$*"; echo one >&2; echo two >&2`}, Chart, "helm (unknown version): template /d\n: one|two"},
		{"no helm", nil, Chart, "helm is not in PATH: helm template /d"},
		{"failed", map[string]string{"helm": `echo a; printf 'first\nsecond\n\r\n' >&2; exit 3`}, Chart, "helm: exit status 3: first|second"},
		{"no standard input", map[string]string{"helm": `read x; echo "read $x"`}, Chart, "helm read: read \n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fake(t, tc.scripts)
			r, err := Render(t.Context(), "/d", tc.kind, &Options{})
			missing, failed := (*MissingError)(nil), (*RunError)(nil)
			got := ""
			switch {
			case errors.As(err, &missing):
				got = err.Error() + ": " + strings.Join(missing.Command, " ")
			case errors.As(err, &failed):
				got = err.Error() + ": " + strings.Join(failed.Lines, "|")
			case err != nil:
				t.Fatal(err)
			default:
				got = r.Program + ": " + string(r.Files[0].Text)
				if len(r.Notes) > 0 {
					got += ": " + strings.Join(r.Notes, "|")
				}
			}
			if got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

// TestInterrupted ends a program that would run for a minute.
func TestInterrupted(t *testing.T) {
	began := filepath.Join(t.TempDir(), "began")
	fake(t, map[string]string{"helm": "echo x > " + began + "\nexec /bin/sleep 60\n"})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for ctx.Err() == nil {
			if _, err := os.Stat(began); err == nil {
				cancel()
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	start := time.Now()
	if _, err := Render(ctx, "/d", Chart, &Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if passed := time.Since(start); passed > 50*time.Second {
		t.Errorf("took %v", passed)
	}
}

// TestTooMuch ends a program that does not stop printing, and keeps the first of its messages.
func TestTooMuch(t *testing.T) {
	fake(t, map[string]string{"helm": "while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done\n"})
	helm, _ := os.ReadDir(os.Getenv("PATH"))
	path := filepath.Join(os.Getenv("PATH"), helm[0].Name())
	_, _, err := run(t.Context(), path, nil, 1<<20)
	if err == nil || !strings.Contains(err.Error(), "printed more than 1 MiB") {
		t.Errorf("got %v", err)
	}
	l := &limited{max: 3, full: func() {}}
	for range 3 {
		if n, err := l.Write([]byte("ab")); n != 2 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	}
	if l.text.String() != "aba" || !l.over {
		t.Errorf("kept %q", l.text.String())
	}
}
