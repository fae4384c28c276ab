package progress

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"stowage/cmd/internal/clitest"
)

// TestBar: on a terminal there is a bar; messages are printed above it on their own lines, and
// the bar is removed at the end.
func TestBar(t *testing.T) {
	got := onTerminal(t, 80, "C.UTF-8", func(d *Display) {
		d.Start(Phase{Name: "fetch", Total: 4000})
		d.Add(1000)
		d.Message("half way")
		d.Add(3000)
		d.Finish()
		d.Message("wrote it")
	})
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
	got := onTerminal(t, 40, "C", func(d *Display) {
		d.Start(Phase{Name: "fetch", Total: 650e6, Done: 343e6, Source: "registry-1.docker.io"})
		time.Sleep(2 * frame)
		d.Message("m")
		d.Finish()
	})
	if !strings.Contains(got, "\rfetch 52 % 343/650 MB") || strings.Count(got, "\n") != 1 || strings.ContainsFunc(got, func(r rune) bool { return r > '~' || r == '\x1b' }) {
		t.Errorf("got %q", got)
	}
	for line := range strings.SplitSeq(got, "\r") {
		if len(line) >= 40 {
			t.Errorf("%d columns: %q", len(line), line)
		}
	}
}

// TestImagesOnTerminal: each image at work and what is waited for have a line of their own, no
// line wraps, nothing remains at the end, and no colour is set, with NO_COLOR or without.
func TestImagesOnTerminal(t *testing.T) {
	for _, tt := range []struct {
		columns         uint16
		locale, noColor string
		want            []string
	}{
		{80, "C.UTF-8", "", []string{"fetch   6% |", "  docker.io/calico/node:v3.28.0        40/115 MB", "  quay.io/a", "waiting until 0", " for r.test: 429"}},
		{40, "C", "1", []string{"\rfetch 6 % 41/650 MB", "/calico/node:v3.28.0 40/115MB", "until 0", ": r.test"}},
	} {
		t.Run(fmt.Sprint(tt.columns), func(t *testing.T) {
			t.Setenv("NO_COLOR", tt.noColor)
			got := onTerminal(t, tt.columns, tt.locale, func(d *Display) {
				d.Start(Phase{Name: "fetch", Total: 650 * mb, Parts: []Part{{Name: "docker.io/calico/node:v3.28.0", Total: 115 * mb}, {Name: "quay.io/a", Total: 2 * mb}}})
				d.AddFrom("r.test", 0, 40*mb)
				d.AddFrom("r.test", 1, mb)
				d.Wait("r.test", "429", time.Date(2026, 1, 2, 3, 4, 5, 0, time.Local).Add(200*365*24*time.Hour))
				time.Sleep(3 * frame)
				d.Finish()
				if err := d.End(nil, Result{}); err != nil {
					t.Error(err)
				}
				d.Message("done")
			})
			for _, want := range tt.want {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in %q", want, got)
				}
			}
			if !regexp.MustCompile("\r(\x1b\\[J| +\r)prog: done\r\n$").MatchString(got) {
				t.Errorf("the lines remain on the screen: %q", got)
			}
			if colour := regexp.MustCompile("\x1b\\[[0-9;]*m").FindString(got); colour != "" {
				t.Errorf("the colour %q in %q", colour, got)
			}
			for line := range strings.SplitSeq(regexp.MustCompile("\x1b\\[[0-9]*[A-Z]").ReplaceAllString(got, ""), "\r") {
				if n := utf8.RuneCountInString(strings.TrimPrefix(line, "\n")); n >= int(tt.columns) && !strings.Contains(line, "prog: ") {
					t.Errorf("%d columns: %q", n, line)
				}
			}
		})
	}
}

// onTerminal returns what a terminal of the given width shows.
func onTerminal(t *testing.T, columns uint16, locale string, show func(*Display)) string {
	t.Helper()
	screen, tty := clitest.Terminal(t)
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}); err != nil {
		t.Fatal(err)
	}
	shown := make(chan string, 1)
	go func() {
		b, _ := io.ReadAll(screen) // ends with an error when tty is closed
		shown <- string(b)
	}()
	t.Setenv("TERM", "xterm")
	t.Setenv("LC_ALL", locale)
	d, err := New(tty, "prog", Auto)
	if err != nil {
		t.Fatal(err)
	}
	show(d)
	if err := tty.Close(); err != nil {
		t.Fatal(err)
	}
	return <-shown
}

// TestDumbTerminal: a terminal that cannot draw over a line gets lines.
func TestDumbTerminal(t *testing.T) {
	_, tty := clitest.Terminal(t)
	t.Setenv("TERM", "dumb")
	if d, err := New(tty, "prog", Auto); err != nil || d.mode != Plain {
		t.Errorf("got mode %q, %v", d.mode, err)
	}
}
