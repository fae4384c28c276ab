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

// terminal is a pseudo terminal: what is written to the second end comes out of the first.
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

// TestBar: on a terminal there is a bar; messages stand above it on lines of their own,
// and nothing of it is left at the end.
func TestBar(t *testing.T) {
	screen, tty := terminal(t)
	shown := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(screen) // it ends with an error when the other end is closed
		shown <- string(b)
	}()
	d, err := New(tty, "prog", Auto)
	if err != nil {
		t.Fatal(err)
	}
	d.Start("fetch", 4000)
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
		t.Errorf("the bar is left on the screen: %q", end)
	}
}
