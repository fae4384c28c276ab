package progress

import (
	"io"
	"strings"
	"testing"

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
