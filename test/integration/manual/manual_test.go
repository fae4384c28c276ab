//go:build linux

package manual

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stowage/internal/need"
)

// The environment of the process that runs one page.
const (
	pageVariable     = "STOWAGE_MANUAL_PAGE"
	dirVariable      = "STOWAGE_MANUAL_DIR"
	programsVariable = "STOWAGE_MANUAL_PROGRAMS"
)

// The commands of a page take seconds.
const (
	commandsTime = time.Minute
	pageTime     = 2 * time.Minute
)

// TestPages runs the commands of each page, and looks at those in its text. A page runs in a process of its own, which is
// this test in new namespaces.
func TestPages(t *testing.T) {
	root := checkout(t)
	if page := os.Getenv(pageVariable); page != "" {
		runPage(t, root, page)
		return
	}
	need.Root(t, "create namespaces")
	bin := programs(t)
	t.Run("text", func(t *testing.T) { checkText(t, root, bin) })
	for _, page := range pages(t, root) {
		t.Run(page, func(t *testing.T) {
			t.Parallel()
			startPage(t, page, bin)
		})
	}
}

// checkout returns the directory of the sources.
func checkout(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// pages returns the paths of the pages in the checkout.
func pages(t *testing.T, root string) []string {
	t.Helper()
	found, err := fs.Glob(os.DirFS(root), "docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(found, "README.md")
}

// programs builds the programs under test, as the Makefile does, and returns their directory.
func programs(t *testing.T) string {
	t.Helper()
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w", "-o", bin+"/", "./cmd/bundle", "./cmd/load")
	build.Dir = checkout(t) // another module, with its own go.sum
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// startPage runs a page in a child process.
func startPage(t *testing.T, page, bin string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "manual") // short, because it has sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(dir) }) // what the child wrote there is gone with its mounts
	ctx, cancel := context.WithTimeout(t.Context(), pageTime)
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestPages$", "-test.v")
	child.Env = append(os.Environ(), pageVariable+"="+page, dirVariable+"="+dir, programsVariable+"="+bin)
	child.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:  syscall.SIGKILL,
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC,
	}
	out, err := child.CombinedOutput()
	switch {
	case err != nil:
		t.Errorf("%v\n%s", err, out)
	case testing.Verbose():
		t.Logf("%s", out)
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		need.Missing(t, string(out))
	}
}

// runPage runs a page in the namespaces of this process.
func runPage(t *testing.T, root, page string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	blocks, err := parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", page, err)
	}
	all, err := steps(blocks)
	if err != nil {
		t.Fatalf("%s: %v", page, err)
	}
	if len(all) == 0 {
		return
	}
	m := newMachine(t, os.Getenv(dirVariable), os.Getenv(programsVariable), root)
	codes := m.shell(t, all)
	outputs := make([]string, len(all))
	for i, s := range all {
		outputs[i] = m.output(i)
		if i >= len(codes) || codes[i] != s.exit {
			code := "none"
			if i < len(codes) {
				code = fmt.Sprint(codes[i])
			}
			t.Fatalf("%s:%d: exit code %s, want %d: %s%s", page, s.line, code, s.exit, s.text, outputs[i])
		}
		t.Logf("%s:%d: %s%s", page, s.line, s.text, outputs[i])
		got := strings.Join(outputs[s.from:i+1], "")
		if line, found := absent(s.want, got); found {
			t.Errorf("%s:%d: the output lacks %q:\n%s%s", page, s.line, line, s.text, got)
		}
	}
}

// shell runs the steps in one bash and returns their exit codes, up to the first that is
// not expected.
func (m *machine) shell(t *testing.T, all []step) []int {
	t.Helper()
	var script strings.Builder
	script.WriteString("set -o pipefail\n")
	for i, s := range all {
		file := m.path(fmt.Sprintf("step%d", i))
		if err := os.WriteFile(file, []byte(s.script()), 0o644); err != nil {
			t.Fatal(err)
		}
		// A group runs in this shell, so that variables and the directory stay.
		fmt.Fprintf(&script, "{ . %s; } >%s.out 2>&1 </dev/null\ncode=$?; echo $code >&9; [ $code = %d ] || exit 0\n", file, file, s.exit)
	}
	results := m.path("results")
	ctx, cancel := context.WithTimeout(t.Context(), commandsTime)
	defer cancel()
	bash := exec.CommandContext(ctx, "bash", "-c", "exec 9>"+results+"\n"+script.String())
	bash.Dir, bash.Env, bash.WaitDelay = m.path("work"), m.env, time.Second
	if out, err := bash.CombinedOutput(); err != nil {
		t.Errorf("bash: %v\n%s", err, out)
	}
	raw, err := os.ReadFile(results)
	if err != nil {
		t.Fatal(err)
	}
	var codes []int
	for _, word := range strings.Fields(string(raw)) {
		code, err := strconv.Atoi(word)
		if err != nil {
			t.Fatal(err)
		}
		codes = append(codes, code)
	}
	return codes
}

// output returns what a step has printed.
func (m *machine) output(i int) string {
	raw, err := os.ReadFile(m.path(fmt.Sprintf("step%d.out", i)))
	if err != nil {
		return ""
	}
	return string(raw)
}
