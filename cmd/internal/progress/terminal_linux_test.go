package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stowage/internal/need"
)

// terminal returns a pseudo terminal: bytes written to tty are read from screen.
func terminal(t *testing.T) (screen, tty *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	need.Part(t, "a pseudo terminal", err)
	t.Cleanup(func() { screen.Close() })
	fd := int(screen.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	need.Part(t, "a pseudo terminal", err)
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return screen, tty
}

// TestBar: on a terminal there is a bar; messages are printed above it on their own lines, and
// the bar is removed at the end.
func TestBar(t *testing.T) {
	screen, tty := terminal(t)
	shown := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(screen) // ends with an error when tty is closed
		shown <- string(b)
	}()
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
