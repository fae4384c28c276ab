//go:build linux

package meter

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// asHelper makes the test program run as the helper.
const asHelper = "STOWAGE_TEST_MEASURE"

func TestMain(m *testing.M) {
	if os.Getenv(asHelper) != "" {
		os.Exit(Main(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// measure runs a command with the test program as helper.
func measure(t *testing.T, c Command) (Report, error) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c.Env = append(os.Environ(), asHelper+"=1")
	return Run(t.Context(), self, c)
}

func TestRun(t *testing.T) {
	var out bytes.Buffer
	r, err := measure(t, Command{Args: []string{"sh", "-c", "echo one; echo two >&2"}, Out: &out})
	if err != nil {
		t.Fatal(err)
	}
	if r.Wall <= 0 || r.Peak <= 0 || r.Code != 0 {
		t.Errorf("got %+v, want some time, some memory and code 0", r)
	}
	if got := out.String(); got != "one\ntwo\n" {
		t.Errorf("printed %q", got)
	}
}

func TestRunCountsBytesWritten(t *testing.T) {
	dir, err := os.MkdirTemp("/var/tmp", "meter") // more likely to be on a disk than os.TempDir
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	r, err := measure(t, Command{Args: []string{"dd", "if=/dev/zero", "of=" + filepath.Join(dir, "x"), "bs=1M", "count=3"}})
	if err != nil {
		t.Fatal(err)
	}
	if r.Written != 0 && r.Written < 3<<20 {
		t.Errorf("%d bytes written, want 0 (a tmpfs) or 3 MiB and more", r.Written)
	}
}

func TestRunFailure(t *testing.T) {
	r, err := measure(t, Command{Args: []string{"sh", "-c", "echo the reason; exit 7"}})
	if r.Code != 7 || err == nil || !strings.Contains(err.Error(), "exit code 7\nthe reason") {
		t.Errorf("got code %d and %v", r.Code, err)
	}
	if _, err := measure(t, Command{Args: []string{"/nowhere/program"}}); err == nil || !strings.Contains(err.Error(), "/nowhere/program") {
		t.Errorf("no such program: got %v", err)
	}
	if _, err := Run(t.Context(), "/nowhere/helper", Command{Args: []string{"true"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such helper: got %v", err)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	started := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		_, err := Run(ctx, self, Command{
			Args: []string{"sh", "-c", "echo up; exec sleep 1000"},
			Env:  append(os.Environ(), asHelper+"=1"), Out: closer(started),
		})
		done <- err
	}()
	<-started
	cancel()
	if err := <-done; err == nil {
		t.Error("no error for a killed command")
	}
}

// closer closes its channel at the first write.
type closer chan struct{}

func (c closer) Write(p []byte) (int, error) {
	close(c)
	return len(p), nil
}

func TestMainByHand(t *testing.T) {
	if code := Main(nil); code != 2 {
		t.Errorf("code %d, want 2", code)
	}
}

func TestThen(t *testing.T) {
	a := Report{Wall: time.Second, CPU: 2 * time.Second, Peak: 30, Written: 4, Code: 0}
	b := Report{Wall: 2 * time.Second, CPU: time.Second, Peak: 20, Written: 5, Code: 1}
	want := Report{Wall: 3 * time.Second, CPU: 3 * time.Second, Peak: 30, Written: 9, Code: 1}
	if got := a.Then(b); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTail(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", " \n", ""},
		{"short", "a\n", "\na"},
		{"limit", strings.Repeat("x", tailSize), "\n" + strings.Repeat("x", tailSize)},
		{"limit+1", "y" + strings.Repeat("x", tailSize), "\n..." + strings.Repeat("x", tailSize)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := tail(bytes.NewBufferString(c.in)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}
