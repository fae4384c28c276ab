package progress

import (
	"io"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stowage/cmd/internal/clitest"
)

// TestBar: on a terminal there is a bar; messages are printed above it on their own lines, and
// the bar is removed at the end.
func TestBar(t *testing.T) {
	screen, tty := clitest.Terminal(t)
	shown := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(screen) // ends with an error when tty is closed
		shown <- string(b)
	}()
	t.Setenv("TERM", "xterm")
	t.Setenv("LC_ALL", "C.UTF-8")
	d, err := New(tty, "prog", Auto)
	if err != nil {
		t.Fatal(err)
	}
	d.Start(Phase{Name: "fetch", Total: 4000})
	d.Add(1000)
	d.Message("half way")
	d.Add(3000)
	d.Finish()
	d.Message("wrote it")
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	got := <-shown
	for _, part := range []string{"fetch", "\r", "prog: half way\r\n", "prog: wrote it\r\n"} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in %q", part, got)
		}
	}
	end := got[strings.LastIndex(got[:strings.Index(got, "prog: wrote it")], "\r"):]
	if strings.Contains(end, "fetch") {
		t.Errorf("the bar remains on the screen: %q", end)
	}
}

// TestNarrowTerminal: on 40 columns no line wraps, in ASCII where the locale has nothing else.
func TestNarrowTerminal(t *testing.T) {
	screen, tty := clitest.Terminal(t)
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 40}); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(screen) // ends with an error when tty is closed
		shown <- string(b)
	}()
	t.Setenv("TERM", "xterm")
	t.Setenv("LC_ALL", "C")
	d, err := New(tty, "prog", Auto)
	if err != nil {
		t.Fatal(err)
	}
	d.Start(Phase{Name: "fetch", Total: 650e6, Done: 343e6, Source: "registry-1.docker.io"})
	time.Sleep(2 * frame)
	d.Message("m")
	d.Finish()
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	got := <-shown
	if !strings.Contains(got, "\rfetch 52 % 343/650 MB") || strings.Count(got, "\n") != 1 || strings.ContainsFunc(got, func(r rune) bool { return r > '~' || r == '\x1b' }) {
		t.Errorf("got %q", got)
	}
	for line := range strings.SplitSeq(got, "\r") {
		if len(line) >= 40 {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}
}

// TestDumbTerminal: a terminal that cannot draw over a line gets lines.
func TestDumbTerminal(t *testing.T) {
	_, tty := clitest.Terminal(t)
	t.Setenv("TERM", "dumb")
	if d, err := New(tty, "prog", Auto); err != nil || d.mode != Plain {
		t.Errorf("got mode %q, %v", d.mode, err)
	}
}
