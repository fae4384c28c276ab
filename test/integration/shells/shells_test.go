//go:build linux

// Package shells completes command lines in the real bash, zsh and fish, and checks the man
// pages with mandoc.
package shells

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/need"
	"stowage/internal/nodetest"
)

// root returns where the packages of Debian are unpacked.
func root(t *testing.T) string {
	t.Helper()
	tools, err := nodetest.Tools()
	need.Part(t, "the directory of tools", err)
	dir := filepath.Join(tools, "shells")
	_, err = os.Stat(dir)
	need.Part(t, "zsh, fish and mandoc (make integration-tools)", err)
	return dir
}

// built returns the programs of "make build", which runs before the tests.
func built(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "..", "bin", name))
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(path)
	need.Part(t, "bin/"+name+" (make build)", err)
	return path
}

func TestCompletion(t *testing.T) {
	bash, err := exec.LookPath("bash")
	need.Part(t, "bash", err)
	dir, unpacked := t.TempDir(), root(t)
	testdata, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"calico.yaml": 0o644, "bundle.tar": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "certs.d"), 0o755); err != nil {
		t.Fatal(err)
	}
	scripts := t.TempDir()
	shells := map[string]func(script, line string) []string{
		"bash": func(script, line string) []string { return []string{bash, testdata + "/complete.bash", script, line} },
		"zsh": func(script, line string) []string {
			return []string{unpacked + "/bin/zsh", "-f", testdata + "/complete.zsh", unpacked, script, line}
		},
		"fish": func(script, line string) []string {
			return []string{unpacked + "/usr/bin/fish", "--no-config", "-c", fmt.Sprintf("source %s; complete -C '%s' | cut -f 1 | sort -u", script, line)}
		},
	}
	for shell, command := range shells {
		for _, c := range lines {
			program, _, _ := strings.Cut(c.line, " ")
			script := filepath.Join(scripts, program+"."+shell)
			if _, err := os.Stat(script); err != nil {
				writeScript(t, program, shell, script)
			}
			t.Run(shell+"/"+c.line, func(t *testing.T) {
				t.Parallel()
				args := command(script, c.line)
				cmd := exec.Command(args[0], args[1:]...)
				cmd.Dir = dir
				cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "TERM=dumb", "LC_ALL=C.UTF-8", "LD_LIBRARY_PATH=" + unpacked + "/usr/lib/x86_64-linux-gnu"}
				var stderr strings.Builder
				cmd.Stderr = &stderr
				out, err := cmd.Output()
				if err != nil || stderr.Len() > 0 {
					t.Fatalf("%v: %s", err, stderr.String())
				}
				got := strings.Fields(strings.ReplaceAll(string(out), "/\n", "\n"))
				if c.list { // zsh offers the items, the others the whole list
					for i := range got {
						got[i] = got[i][strings.LastIndex(got[i], ",")+1:]
					}
				}
				for _, w := range c.want {
					if !slices.Contains(got, w) {
						t.Errorf("%q is not offered", w)
					}
				}
				if c.exact && cmp.Diff(sorted(c.want), sorted(got)) != "" {
					t.Errorf("offered (-want +got):\n%s", cmp.Diff(sorted(c.want), sorted(got)))
				}
			})
		}
	}
}

// lines are command lines with what is offered for their last words.
var lines = []struct {
	line  string
	want  []string
	exact bool // and nothing else
	list  bool
}{
	{line: "bundle ", want: []string{"scan", "rewrite", "inspect", "verify", "diff", "completion", "help", "version"}},
	{line: "bundle help v", want: []string{"verify"}},
	{line: "bundle scan --output ", want: []string{"name", "wide", "json", "sarif", "codequality", "github"}, exact: true},
	{line: "bundle scan -o s", want: []string{"sarif"}, exact: true},
	{line: "bundle diff --output ", want: []string{"text", "json"}, exact: true},
	{line: "bundle --progress p", want: []string{"plain"}, exact: true},
	{line: "bundle scan --fail-on placeholder,", want: []string{"invalid-reference"}, list: true},
	{line: "bundle --platform linux/a", want: []string{"linux/amd64", "linux/arm64", "linux/arm/v7"}, exact: true},
	{line: "bundle --platform linux/amd64,linux/arm", want: []string{"linux/arm64", "linux/arm/v7"}, exact: true, list: true},
	{line: "bundle -f c", want: []string{"calico.yaml"}},
	{line: "bundle scan --filename c", want: []string{"calico.yaml"}},
	{line: "bundle verify b", want: []string{"bundle.tar"}, exact: true},
	{line: "bundle --hosts-dir ", want: []string{"certs.d"}, exact: true},
	{line: "bundle --check", want: []string{"--checksum"}, exact: true},
	{line: "bundle scan --check", want: []string{"--check-lock"}, exact: true},
	{line: "bundle completion ", want: []string{"bash", "zsh", "fish"}, exact: true},
	{line: "load ", want: []string{"check", "inventory", "place", "serve", "unpin", "why", "completion", "bundle.tar"}},
	{line: "load b", want: []string{"bundle.tar"}, exact: true},
	{line: "load check b", want: []string{"bundle.tar"}, exact: true},
	{line: "load --kubelet-dir c", want: []string{"certs.d"}, exact: true},
	{line: "load serve --un", want: []string{"--uninstall"}, exact: true},
}

func sorted(s []string) []string {
	s = slices.Clone(s)
	slices.Sort(s)
	return slices.Compact(s)
}

func writeScript(t *testing.T, program, shell, path string) {
	t.Helper()
	out, err := exec.Command(built(t, program), "completion", shell).Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, out, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestManPages(t *testing.T) {
	mandoc := filepath.Join(root(t), "usr/bin/mandoc")
	pages, err := filepath.Glob(filepath.Join("..", "..", "..", "cmd", "*", "testdata", "man", "*.1"))
	if err != nil || len(pages) < 14 {
		t.Fatalf("%d man pages: %v", len(pages), err)
	}
	out, err := exec.Command(mandoc, append([]string{"-T", "lint", "-W", "warning"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("mandoc -T lint: %v\n%s", err, out)
	}
}
