//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	cri "k8s.io/cri-api/pkg/apis/runtime/v1"

	"stowage/cmd/internal/clitest"
	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
)

// TestInstall wires load serve into real containerds and pulls through it by CRI, from a
// registry that does not answer: that fails before the installation and after its removal.
func TestInstall(t *testing.T) {
	for _, version := range []string{"", "1.7.35", "1.6.20"} {
		t.Run("containerd "+version, func(t *testing.T) {
			t.Parallel()
			w := wire(t, version)
			w.pull(t, false)
			const odd = "# ours\r\nserver = \"https://127.0.0.1:1\"\n[host.'http://127.0.0.1:2']"
			w.write(t, odd)
			out := w.load(t, "serve", "--install", "--listen", w.listen)
			if want := filepath.Join(w.registryDir(), "hosts.toml") + "  changed"; !strings.Contains(strings.Join(strings.Fields(out), "  "), want) {
				t.Errorf("printed\n%s\nwant %q", out, want)
			}
			if dirs, err := os.ReadDir(w.certs); err != nil || len(dirs) != 1 {
				t.Errorf("wired %q, %v, want the registry of the image only", dirs, err)
			}
			w.start(t)
			w.pull(t, true)
			if out := w.load(t, "serve", "--install", "--listen", w.listen); !strings.Contains(out, "nothing to do") {
				t.Errorf("the second installation printed\n%s", out)
			}
			w.load(t, "serve", "--uninstall")
			if got := w.hosts(t); got != odd {
				t.Errorf("restored %q, want %q", got, odd)
			}
			w.pull(t, false)
		})
	}
}

// wired is a node with a loaded image whose registry is gone.
type wired struct {
	node    *nodetest.Node
	image   string
	hub     string // the registry's address
	certs   string // config_path
	units   string // directory of systemd's units
	program string
	listen  string
	port    *net.TCPListener // what systemd would hold
}

func wire(t *testing.T, version string) *wired {
	t.Helper()
	dir := t.TempDir()
	w := &wired{certs: filepath.Join(dir, "certs.d"), units: filepath.Join(dir, "units"), program: filepath.Join(clitest.Programs(t), "load")}
	table := "io.containerd.cri.v1.images"
	if strings.HasPrefix(version, "1.") {
		table = "io.containerd.grpc.v1.cri"
	}
	w.node = nodetest.Start(t, nodetest.Options{Version: version, Config: fmt.Sprintf("[plugins.%q.registry]\nconfig_path = %q\n", table, w.certs)})
	hub := registrytest.Start(t, registrytest.Options{})
	program, err := registrytest.Program(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	registrytest.Must(hub.AddImage("site/app", "1", registrytest.Hello("app", runtime.GOARCH, program)))(t)
	w.hub, w.image = hub.Host(), hub.Ref("site/app", "1")
	tar := filepath.Join(dir, "app.tar")
	bundle(t, w.image, "-o", tar)
	if err := hub.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(w.units, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w.port, w.listen = l.(*net.TCPListener), l.Addr().String()
	w.load(t, tar)
	return w
}

// load runs the program where systemd's units are in a directory of the test and systemctl
// does nothing.
func (w *wired) load(t *testing.T, args ...string) string {
	t.Helper()
	unshare, err := exec.LookPath("unshare")
	need.Part(t, "unshare", err)
	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "systemctl"), []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	script := `mount --bind "$1" /etc/systemd/system && shift && exec "$@"`
	cmd := exec.CommandContext(t.Context(), unshare, append([]string{"-m", "--propagation", "private", "sh", "-c", script, "sh", w.units, w.program}, args...)...)
	cmd.Env = clitest.Environ(t.TempDir(), "CONTAINERD_ADDRESS="+w.node.Address(), "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("load %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (w *wired) registryDir() string {
	return filepath.Join(w.certs, strings.Replace(w.hub, ":", "_", 1)+"_")
}

// write writes a hosts.toml of the administrator.
func (w *wired) write(t *testing.T, text string) {
	t.Helper()
	if err := os.MkdirAll(w.registryDir(), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(w.registryDir(), "hosts.toml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (w *wired) hosts(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.registryDir(), "hosts.toml"))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// start starts the command of the service unit with the socket, as systemd does.
func (w *wired) start(t *testing.T) {
	t.Helper()
	unit, err := os.ReadFile(filepath.Join(w.units, "stowage-load-serve.service"))
	if err != nil {
		t.Fatal(err)
	}
	_, command, _ := strings.Cut(string(unit), "\nExecStart=")
	command, _, _ = strings.Cut(command, "\n")
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", `LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"`, "sh"}, strings.Fields(command)...)...)
	cmd.Env = clitest.Environ(t.TempDir())
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = t.Output()
	socket, err := w.port.File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	cmd.ExtraFiles = []*os.File{socket}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		cmd.Wait() // its code is that of the signal
	})
}

// pull pulls the image as the kubelet does.
func (w *wired) pull(t *testing.T, want bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_, err := w.node.Images().PullImage(ctx, &cri.PullImageRequest{Image: &cri.ImageSpec{Image: w.image}})
	if (err == nil) != want {
		t.Errorf("pull of %s: %v", w.image, err)
	}
}
