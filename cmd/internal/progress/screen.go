package progress

import (
	"io"
	"os"
	"runtime"
	"strings"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"stowage/cmd/internal/cli"
)

// screen draws one line at the bottom of a terminal. It needs no escape sequences: the
// cursor stays at the start of the line, so that what the terminal echoes for Ctrl-C is
// overwritten as well.
type screen struct {
	w     io.Writer
	width func() int
	theme progressbar.Theme
	shown string
}

// newScreen returns the screen behind w, or nil when w is no terminal that can draw over a
// line.
func newScreen(w io.Writer) *screen {
	if !cli.Terminal(w) || dumb(os.Getenv("TERM")) {
		return nil
	}
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	s := &screen{w: w, theme: ascii, width: func() int {
		if n, _, err := term.GetSize(int(f.Fd())); err == nil && n > 0 {
			return n
		}
		return 80
	}}
	if showsUTF8(os.Getenv) {
		s.theme = blocks
	}
	return s
}

// dumb reports whether a terminal cannot move its cursor. Windows sets no TERM.
func dumb(term string) bool { return term == "dumb" || term == "" && runtime.GOOS != "windows" }

// showsUTF8 reports whether the locale has other characters than ASCII. The first variable
// that is set decides (POSIX, 8.2).
func showsUTF8(env func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToUpper(env(name)); v != "" {
			return strings.Contains(v, "UTF-8") || strings.Contains(v, "UTF8")
		}
	}
	return runtime.GOOS == "windows"
}

// draw replaces the line.
func (s *screen) draw(line string) {
	if line == s.shown {
		return
	}
	pad := max(0, utf8.RuneCountInString(s.shown)-utf8.RuneCountInString(line))
	io.WriteString(s.w, "\r"+line+strings.Repeat(" ", pad)+"\r")
	s.shown = line
}

// clear removes the line.
func (s *screen) clear() {
	if s.shown == "" {
		return
	}
	// The echo of a key may be as long as two columns.
	n := max(2, utf8.RuneCountInString(s.shown))
	io.WriteString(s.w, "\r"+strings.Repeat(" ", n)+"\r")
	s.shown = ""
}
