package progress

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"stowage/cmd/internal/cli"
)

// screen draws lines at the bottom of a terminal. The cursor stays at the start of the first,
// so that what the terminal echoes for Ctrl-C is overwritten as well. A single line needs no
// escape sequences; several need those of ECMA-48 that move the cursor up and erase. No
// sequence sets a colour.
type screen struct {
	w     io.Writer
	size  func() (columns, rows int)
	theme progressbar.Theme
	shown []string
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
	s := &screen{w: w, theme: ascii, size: func() (int, int) {
		columns, rows, err := term.GetSize(int(f.Fd()))
		if err != nil || columns <= 0 || rows <= 0 {
			columns, rows = 80, 24
		}
		if runtime.GOOS == "windows" { // whose consoles may print the sequences as they are
			rows = 2
		}
		return columns, rows
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

// ellipsis returns what stands for the characters that are left out.
func (s *screen) ellipsis() string {
	if s.theme == ascii {
		return "..."
	}
	return "…"
}

// draw replaces the lines.
func (s *screen) draw(lines ...string) {
	switch {
	case slices.Equal(lines, s.shown):
		return
	case len(lines) == 0:
		s.clear()
		return
	case len(lines) == 1 && len(s.shown) <= 1:
		pad := 0
		if len(s.shown) == 1 {
			pad = max(0, utf8.RuneCountInString(s.shown[0])-utf8.RuneCountInString(lines[0]))
		}
		io.WriteString(s.w, "\r"+lines[0]+strings.Repeat(" ", pad)+"\r")
	default:
		text := "\r" + strings.Join(lines, eraseLine+"\r\n") + eraseBelow + "\r"
		if up := len(lines) - 1; up > 0 {
			text += fmt.Sprintf("\x1b[%dA", up)
		}
		io.WriteString(s.w, text)
	}
	s.shown = slices.Clone(lines)
}

const (
	eraseLine  = "\x1b[K" // from the cursor to the end of the line
	eraseBelow = "\x1b[J" // from the cursor to the end of the screen
)

// clear removes the lines.
func (s *screen) clear() {
	switch len(s.shown) {
	case 0:
		return
	case 1:
		// The echo of a key may be as long as two columns.
		n := max(2, utf8.RuneCountInString(s.shown[0]))
		io.WriteString(s.w, "\r"+strings.Repeat(" ", n)+"\r")
	default:
		io.WriteString(s.w, "\r"+eraseBelow)
	}
	s.shown = nil
}
