//go:build linux

package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"stowage/cmd/internal/clitest"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// server is a running load serve.
type server struct {
	cmd     *exec.Cmd
	address string
	lines   *bufio.Reader // of standard error
}

// serving starts the built program on a free port.
func serving(t *testing.T, args ...string) *server {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), filepath.Join(clitest.Programs(t), "load"), append([]string{"serve", "--listen", "127.0.0.1:0"}, args...)...)
	cmd.Env = clitest.Environ(t.TempDir())
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd, lines: bufio.NewReader(stderr)}
	line, err := s.lines.ReadString('\n')
	_, address, ok := strings.Cut(strings.TrimSpace(line), " at http://")
	if err != nil || !ok {
		t.Fatalf("load serve %q: %q, %v", args, line, err)
	}
	s.address = address
	return s
}

// stop ends the program with SIGTERM and returns what it printed after its first line.
func (s *server) stop(t *testing.T) string {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(s.lines)
	if werr := s.cmd.Wait(); err != nil || werr != nil {
		t.Errorf("load serve: %v, %v\n%s", err, werr, rest)
	}
	return string(rest)
}

// rss returns the resident memory of the program, in bytes.
func (s *server) rss(t *testing.T) int64 {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmRSS: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	t.Fatal("no VmRSS")
	return 0
}

// pull reads a manifest and all that it names.
func (s *server) pull(t *testing.T, repo string, a registrytest.Manifest) {
	t.Helper()
	for _, path := range append([]string{"manifests/" + a.Digest.String(), "blobs/" + a.Config.Digest.String()}, "blobs/"+a.Layers[0].Digest.String()) {
		r, err := http.Get("http://" + s.address + "/v2/" + repo + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.Copy(io.Discard, r.Body)
		r.Body.Close()
		if err != nil || r.StatusCode != 200 {
			t.Fatalf("%s: %s, %v", path, r.Status, err)
		}
	}
}

// idleRSS is the most memory that an idle server may have, in bytes.
const idleRSS = 20 << 20

// TestServe serves the images of a bundle, and then of a node, to the program bundle, and
// returns to little memory afterwards.
func TestServe(t *testing.T) {
	t.Parallel()
	h := registrytest.Start(t, registrytest.Options{})
	l := &registrytest.Layer{Compression: registrytest.None, Files: []registrytest.File{{Name: "a", Size: 4 << 20}}}
	a := registrytest.Must(h.AddImage("acme/app", "v1", registrytest.Image{Layers: []*registrytest.Layer{l}}))(t)
	file := filepath.Join(t.TempDir(), "app.tar")
	bundle(t, "docker.io/acme/app:v1", "-o", file, "--mirror", "docker.io="+h.Host())
	for _, source := range []string{"bundle", "node"} {
		t.Run(source, func(t *testing.T) {
			args := []string{"--verbose", file}
			if source == "node" {
				n := nodetest.Start(t)
				cmd := exec.CommandContext(t.Context(), filepath.Join(clitest.Programs(t), "load"), "--address", n.Address(), file)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				args = []string{"--verbose", "--address", n.Address()}
			}
			s := serving(t, args...)
			for range 8 {
				s.pull(t, a.Repo, a.Manifests[0])
			}
			bundle(t, s.address+"/docker.io/acme/app:v1", "-o", filepath.Join(t.TempDir(), "again.tar"))
			r, err := http.Get("http://" + s.address + "/v2/acme/%1b/manifests/v1")
			if err != nil || r.StatusCode != 400 {
				t.Error(r, err)
			}
			rss := s.rss(t)
			for end := time.Now().Add(time.Minute); rss > idleRSS && time.Now().Before(end); rss = s.rss(t) {
				time.Sleep(100 * time.Millisecond)
			}
			t.Logf("idle: %.1f MiB", float64(rss)/(1<<20))
			if rss > idleRSS {
				t.Errorf("%d bytes of memory while idle, want at most %d", rss, idleRSS)
			}
			out := s.stop(t)
			if !strings.Contains(out, " GET /v2/docker.io/acme/app/") || !strings.Contains(out, `GET /v2/acme/%1b/manifests/v1: 400,`) {
				t.Errorf("printed:\n%s", out)
			}
		})
	}
}
