//go:build unix

package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"stowage/cmd/internal/cli"
)

const podYAML = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: docker.io/acme/app:1}]}\n"

// TestDirectoryReadsItsOwnFiles: pipes, devices and links out of a directory of manifests
// are named and not read; links within it are.
func TestDirectoryReadsItsOwnFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	repo := filepath.Join(dir, "repo")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.MkdirAll(filepath.Join(repo, "base"), 0o755))
	must(os.WriteFile(filepath.Join(repo, "base", "a.txt"), []byte(podYAML), 0o644))
	must(os.WriteFile(filepath.Join(dir, "token"), []byte("glpat-canary\n"), 0o644))
	must(os.Symlink("base/a.txt", filepath.Join(repo, "inside.yaml")))
	must(os.Symlink("../token", filepath.Join(repo, "outside.yaml")))
	must(os.Symlink("/dev/zero", filepath.Join(repo, "zero.yml")))
	must(os.Symlink("base", filepath.Join(repo, "directory.json")))
	must(syscall.Mkfifo(filepath.Join(repo, "pipe.yaml"), 0o600))

	var stdout, stderr bytes.Buffer
	code := program().Run(t.Context(), []string{"scan", "-f", repo}, cli.Streams{Out: &stdout, Err: &stderr})
	if code != cli.OK || stdout.String() != "docker.io/acme/app:1\n" {
		t.Errorf("exit %d, stdout %q", code, stdout.String())
	}
	for _, want := range []string{
		"outside.yaml: not read: it is a symbolic link out of the directory; name it with -f if its images are needed (2 places: ",
		"directory.json: not read: it is not a regular file;",
		"zero.yml", "pipe.yaml",
	} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("stderr lacks %q:\n%s", want, stderr.String())
		}
	}
	if strings.Contains(stderr.String(), "canary") {
		t.Errorf("a file outside of the directory was read:\n%s", stderr.String())
	}
}

// TestWaitingInputEndsWithContext: a signal ends a run that waits for a pipe, to open or to
// read it, and one that reads a file without an end.
func TestWaitingInputEndsWithContext(t *testing.T) {
	t.Parallel()
	fifo := filepath.Join(t.TempDir(), "pipe.yaml")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	silent, writer := io.Pipe()
	defer writer.Close()
	for _, args := range [][]string{
		{"scan", "-f", fifo}, {"scan", "-f", "-"}, {"scan", "-f", "/dev/zero"},
		{"rewrite", "-f", fifo, "-o", "-"}, {"rewrite", "-f", "-", "-o", "-"},
	} {
		t.Run(strings.Join(args[:3:3], " "), func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan int)
			var stderr bytes.Buffer
			go func() {
				ended <- program().Run(ctx, args, cli.Streams{In: silent, Out: io.Discard, Err: &stderr})
			}()
			cancel()
			if code := <-ended; code != cli.Signalled || !strings.HasPrefix(stderr.String(), "bundle: error: interrupted") {
				t.Errorf("exit %d, stderr %q", code, stderr.String())
			}
		})
	}
}
