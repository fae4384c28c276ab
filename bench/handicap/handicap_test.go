//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stowage/internal/need"
)

// asCommand makes the test program run as the command, or, with the argument atWork, as a
// program under a handicap.
const (
	asCommand = "STOWAGE_TEST_HANDICAP"
	atWork    = "work"
)

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) == "" {
		os.Exit(m.Run())
	}
	if os.Args[1] != atWork {
		main()
		return
	}
	if err := work(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// work makes five calls that wait for a disk, two at a time as far as possible, and prints
// the number of processors that it may use.
func work(file string) error {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY|unix.O_DSYNC, 0o600) // the first call
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written
	fd := int(f.Fd())
	errs := make(chan error)
	for range 2 {
		go func() { errs <- errors.Join(unix.Fsync(fd), unix.Fdatasync(fd)) }()
	}
	fmt.Print(runtime.NumCPU())
	return errors.Join(<-errs, <-errs)
}

// handicapped runs the program under a handicap and returns what it printed.
func handicapped(t *testing.T, flags ...string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, append(flags, self, atWork, filepath.Join(t.TempDir(), "file"))...)
	cmd.Env = append(os.Environ(), asCommand+"=1")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if text := stderr.String(); err != nil && strings.Contains(text, "notice syncs") {
		need.Missing(t, text)
	} else if err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return string(out)
}

func TestCore(t *testing.T) {
	if got := handicapped(t, "-core"); got != "1" {
		t.Errorf("the program may use %s processors, want 1", got)
	}
}

func TestDelay(t *testing.T) {
	const delay = 50 * time.Millisecond
	start := time.Now()
	handicapped(t, "-delay", delay.String())
	if took := time.Since(start); took < 3*delay {
		t.Errorf("three calls one after the other took %v, want at least %v", took, 3*delay)
	}
}

func TestCount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "count")
	handicapped(t, "-count", file)
	if got, err := os.ReadFile(file); string(got) != "5" || err != nil {
		t.Errorf("%q calls, %v; want 5", got, err)
	}
}

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		want string
	}{
		{"no program", []string{"-core"}, "no program"},
		{"no such program", []string{"no-such-program-anywhere"}, "no-such-program-anywhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := run(c.args); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
