//go:build linux

package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/internal/need"
	"stowage/internal/nodetest"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		name string
		args string
		want func(*settings)
	}{
		{"the defaults", "bundle", func(*settings) {}},
		{"flags behind the command", "bundle -rounds 5 -quick", func(s *settings) { s.rounds, s.quick = 5, true }},
		{"flags before the command", "-rounds=1 bundle", func(s *settings) { s.rounds = 1 }},
		{"two dashes", "bundle --rounds 2", func(s *settings) { s.rounds = 2 }},
		{"lists", "bundle -conditions disk,link -peers crane,oras", func(s *settings) {
			s.conditions, s.peers = []string{onDisk, slowLink}, []string{"crane", "oras"}
		}},
		{"folders", "load -bin /b -memory /m -disk /d -o /o/x.md", func(s *settings) {
			s.command, s.bin, s.memory, s.disk, s.out = "load", "/b", "/m", "/d", "/o/x.md"
		}},
		{"files", "load -from f -docs d -json j", func(s *settings) { s.command, s.from, s.docs, s.json = "load", "f", "d", "j" }},
		{"switched off", "load -install=false -syncs=false", func(s *settings) { s.command, s.install, s.syncs = "load", false, false }},
	} {
		t.Run(c.name, func(t *testing.T) {
			bin, err := filepath.Abs("bin")
			if err != nil {
				t.Fatal(err)
			}
			want := &settings{command: "bundle", bin: bin, memory: "/dev/shm", disk: "/var/tmp", rounds: 3, install: true, syncs: true}
			c.want(want)
			got, err := parse(strings.Fields(c.args), t.Output())
			if err != nil {
				t.Fatal(err)
			}
			got.conditions, got.sets, got.peers = orNil(got.conditions), orNil(got.sets), orNil(got.peers)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(settings{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// orNil returns nil for an empty list.
func orNil(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	return list
}

func TestUsage(t *testing.T) {
	for _, c := range []struct{ name, args, want string }{
		{"no command", "", `command "": want bundle, load or ci`},
		{"another command", "push", `command "push"`},
		{"two commands", "bundle load", "one command at a time"},
		{"no rounds", "bundle -rounds 0", "-rounds 0: want 1 or more"},
		{"negative calm", "bundle -calm -0.1", "-calm -0.1: want 0 or more"},
		{"unknown condition", "bundle -conditions moon", "want some of memory,disk,link,connection"},
		{"a condition of the other command", "load -conditions link", "want some of memory,core,loop"},
		{"bundle has no report", "bundle -json f", "only for load"},
		{"unknown set", "load -set huge", "want some of calico,real,tiny"},
		{"unknown flag", "bundle -fast", "-fast"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out, log strings.Builder
			if code := run(t.Context(), strings.Fields(c.args), &out, &log); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			if !strings.Contains(log.String(), c.want) || out.Len() > 0 {
				t.Errorf("stderr %q, stdout %q, want %q", log.String(), out.String(), c.want)
			}
		})
	}
	var out, log strings.Builder
	if code := run(t.Context(), []string{"-h"}, &out, &log); code != 0 || log.String() != usage {
		t.Errorf("help: code %d, %q", code, log.String())
	}
}

func TestChoices(t *testing.T) {
	all, some := &settings{}, &settings{conditions: []string{onDisk}, peers: []string{"crane", "local"}}
	for _, c := range []struct {
		name string
		got  bool
		want bool
	}{
		{"every condition", all.wants(inMemory), true},
		{"a chosen condition", some.wants(onDisk), true},
		{"another condition", some.wants(inMemory), false},
		{"every peer", all.compares("oras"), true},
		{"a chosen peer", some.compares("crane pull"), true},
		{"a peer by a word inside", some.compares(ctrLocal), true},
		{"another peer", some.compares("oras"), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", c.name, c.got, c.want)
		}
	}
}

func TestWithoutOurPrograms(t *testing.T) {
	if _, err := ours(t.TempDir(), "bundle"); err == nil || !strings.Contains(err.Error(), `run "make build"`) {
		t.Errorf("got %v", err)
	}
}

func TestFindProgram(t *testing.T) {
	_, err := crane.find(t.Context(), t.TempDir(), false)
	if err == nil || !strings.Contains(err.Error(), "crane v0.22.1 is not in") {
		t.Errorf("not built: got %v", err)
	}
	absent := program{name: "no-such-program-anywhere"}
	if _, err := absent.find(t.Context(), "", true); err == nil || !strings.Contains(err.Error(), "is not installed") {
		t.Errorf("not installed: got %v", err)
	}
	echo := program{name: "echo", ask: []string{"echo version 7"}}
	if got, err := echo.find(t.Context(), "", true); err != nil || got.version != "7" {
		t.Errorf("installed: got %+v, %v", got, err)
	}
}

// TestQuick runs everything with small images and checks only that it works.
func TestQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs both programs")
	}
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "stowage/cmd/bundle", "stowage/cmd/load")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	args := []string{"-quick", "-rounds", "1", "-install=false", "-syncs=false", "-bin", bin, "-memory", t.TempDir(), "-disk", t.TempDir()}
	t.Run("bundle", func(t *testing.T) {
		text := quick(t, append([]string{"bundle", "-conditions", "memory,disk"}, args...))
		for _, want := range []string{"## bundle: loopback, output on a disk", "| bundle, nothing changed ", "| token requests "} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in:\n%s", want, text)
			}
		}
	})
	t.Run("load", func(t *testing.T) {
		needNode(t)
		// Not t.TempDir, whose path can be too long for a socket.
		text := quick(t, append(append([]string{"load", "-conditions", "memory", "-set", "real,tiny"}, args...), "-memory", "/dev/shm"))
		for _, want := range []string{"## load: real images, tmpfs", "## load: tiny images, tmpfs", "| load --discard-layers, again ", "| nothing to do, 3 images "} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in:\n%s", want, text)
			}
		}
	})
}

// quick runs the program and returns its output.
func quick(t *testing.T, args []string) string {
	t.Helper()
	var out, log strings.Builder
	if code := run(t.Context(), args, &out, &log); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, log.String())
	}
	return out.String()
}

// needNode skips the test on a machine that cannot run a containerd.
func needNode(t *testing.T) {
	t.Helper()
	n, err := nodetest.Launch(t.Context(), nodetest.Options{Dir: "/dev/shm"})
	if missing := (*nodetest.MissingError)(nil); errors.As(err, &missing) {
		need.Missing(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(); err != nil {
		t.Fatal(err)
	}
}

func TestWaitIdle(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := waitIdle(ctx, os.Getpid()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the end of the context", err)
	}
	if _, err := waitIdle(t.Context(), -1); err == nil {
		t.Error("no such process is no error")
	}
}

func TestParseTimes(t *testing.T) {
	const head = "42 (a) b (c) S 1 1 1 0 -1 4194560 1 2 3 4"
	for _, c := range []struct {
		name, stat string
		want       string
	}{
		{"all four", head + " 100 20 3 4 20 0", "1.27s"},
		{"too few fields", head + " 100 20 3", "0s"},
		{"no number", head + " 100 x 3 4 20", "0s"},
		{"nothing", "", "0s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseTimes(c.stat)
			if got.String() != c.want || (err == nil) != (got > 0) {
				t.Errorf("got %v and %v, want %s", got, err, c.want)
			}
		})
	}
}

func TestDiskUsage(t *testing.T) {
	dir := t.TempDir()
	empty, err := diskUsage(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, make([]byte, 64<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(file, filepath.Join(dir, "again")); err != nil {
		t.Fatal(err)
	}
	got, err := diskUsage(dir)
	if want := empty + 64<<10; err != nil || got < want || got > want+16<<10 {
		t.Errorf("%d bytes, want about %d, the hard link counted once; %v", got, want, err)
	}
	if _, err := diskUsage(filepath.Join(dir, "none")); err == nil {
		t.Error("no such folder is no error")
	}
}
