//go:build linux

package nodetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestNode(t *testing.T) {
	n := Start(t)
	out, err := n.Ctr("version")
	if err != nil || !strings.Contains(out, "Server:") {
		t.Fatalf("ctr version: %v\n%s", err, out)
	}
	if _, err := n.Runtime().Version(t.Context(), &cri.VersionRequest{}); err != nil {
		t.Fatalf("CRI version: %v", err)
	}
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Images().ListImages(t.Context(), &cri.ListImagesRequest{}); err != nil {
		t.Fatalf("CRI after a restart: %v", err)
	}
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := n.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	dir := n.Dir()
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Stop: %s is still there (%v)", dir, err)
	}
}

// ownerVariable makes this binary run a node until it is killed.
const ownerVariable = "STOWAGE_TEST_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(ownerVariable) == "" {
		os.Exit(m.Run())
	}
	n, err := Launch(context.Background(), Options{})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(n.Dir())
	select {}
}

func TestNodeOfAKilledOwner(t *testing.T) {
	Start(t).Stop() // skips if this machine cannot run a node
	owner := exec.Command(os.Args[0])
	owner.Env = append(os.Environ(), ownerVariable+"=1")
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	dir, err := bufio.NewReader(out).ReadString('\n')
	owner.Process.Kill()
	owner.Wait() // killed, of course
	dir = strings.TrimSpace(dir)
	if err != nil || !filepath.IsAbs(dir) {
		t.Fatalf("owner: %q, %v", dir, err)
	}
	n := &Node{dir: dir}
	for deadline := time.Now().Add(stopTimeout); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(dir); errors.Is(err, os.ErrNotExist) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is still there", dir)
		}
	}
	for pid, args := range processes() {
		if slices.Contains(args, n.ConfigPath()) {
			t.Errorf("still runs: %d %q", pid, args)
		}
	}
}

func TestMissingTools(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(ToolsVariable, dir)
	for _, name := range []string{"containerd", "runc"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := findTools("")
	want := "no test node: ctr, containerd-shim-runc-v2 not found in " + dir + " (set STOWAGE_TOOLS to the directory of these programs)"
	if err == nil || err.Error() != want {
		t.Errorf("error: got %v, want %s", err, want)
	}
	if _, err := findTools("1.7.35"); err == nil || !strings.Contains(err.Error(), "containerd, ctr") {
		t.Errorf("version without programs: got %v", err)
	}
}

func TestConfigOfEachVersion(t *testing.T) {
	n := &Node{dir: "/x", opts: Options{SandboxImage: "pause:1", Config: "# more"}}
	tests := map[string]string{
		"containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1": "version = 2",
		"containerd github.com/containerd/containerd v1.7.35 abc":             "version = 2",
		"containerd github.com/containerd/containerd/v2 v2.4.2+unknown ":      "version = 3",
	}
	for version, want := range tests {
		got, err := n.configText(version)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{want, `"pause:1"`, "/x/c.sock", "# more", "restrict_oom_score_adj = true"} {
			if !strings.Contains(got, part) {
				t.Errorf("%s: configuration lacks %q:\n%s", version, part, got)
			}
		}
	}
	if _, err := n.configText("unknown"); err == nil {
		t.Error("a version without a number: no error")
	}
}

func TestReadLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	text := "2026-01-02T03:04:05.6Z stdout F hello world\n" +
		"2026-01-02T03:04:05.6Z stderr P one \n" +
		"2026-01-02T03:04:05.6Z stderr F line\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := readLog(path)
	if want := "hello world\none line\n"; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if err := os.WriteFile(path, []byte("no log\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readLog(path); err == nil {
		t.Error("not a log: no error")
	}
}

func TestSocketPathTooLong(t *testing.T) {
	base := filepath.Join(t.TempDir(), strings.Repeat("x", 100))
	if err := os.Mkdir(base, 0o700); err != nil {
		t.Fatal(err)
	}
	_, err := makeDir(base)
	if missing := (*MissingError)(nil); !errors.As(err, &missing) {
		t.Errorf("got %v, want a MissingError", err)
	}
	if left, _ := os.ReadDir(base); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}
