//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"stowage/cmd/internal/clitest"
	"stowage/internal/need"
	"stowage/internal/registrytest"
)

// unprivileged is the user nobody of most systems.
const unprivileged = 65534

// TestPermission: the hint for a socket without permission is to be root.
func TestPermission(t *testing.T) {
	if os.Getuid() != 0 {
		need.Part(t, "the right to change the user", errors.New("not root"))
	}
	dir := public(t)
	h := registrytest.Start(t, registrytest.Options{})
	registrytest.Must(h.AddImage("app", "v1", registrytest.Image{}))(t)
	file := filepath.Join(dir, "app.tar")
	bundle(t, h.Ref("app", "v1"), "-o", file, "--platform", "linux/amd64")
	socket := filepath.Join(dir, "c.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() // its file is removed with the directory
	if err := os.Chmod(socket, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, job := range [][]string{{}, {"check"}} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "load"), append(job, "--address", socket, file)...)
		cmd.Env, cmd.Dir = clitest.Environ(dir), dir
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: unprivileged, Gid: unprivileged}}
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 7 {
			t.Errorf("load %v: %v, want code 7\n%s", job, err, out)
		}
		for _, part := range []string{"load: error: ", socket, "permission denied", "\nload: hint: run the command as root, with sudo\n"} {
			if !strings.Contains(string(out), part) {
				t.Errorf("load %v: no %q in:\n%s", job, part, out)
			}
		}
	}
}

// public returns a directory that every user can read, unlike t.TempDir, with load in it.
func public(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "stowage-public-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) }) // temporary
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(filepath.Join(clitest.Programs(t), "load"))
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close() // only read from
	to, err := os.OpenFile(filepath.Join(dir, "load"), os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}
