package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// textLimit is the longest text in bytes that one argument of Fprintf prints. The names,
// values and answers that the programs print are shorter; a hostile one can have megabytes.
const textLimit = 4 << 10

// Text returns s in a form that is safe to print: without control characters, line breaks,
// characters that reorder a line (Unicode TR 36, section 2.1), and invalid UTF-8, each
// written as an escape of Go instead, and shortened to 4 KiB. Most texts are returned as
// they are.
func Text(s string) string {
	if len(s) > textLimit {
		cut := textLimit
		for cut > textLimit-utf8.UTFMax && !utf8.RuneStart(s[cut]) {
			cut--
		}
		return Text(s[:cut]) + fmt.Sprintf("… (%d bytes)", len(s))
	}
	if strings.IndexFunc(s, hidden) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if hidden(r) || r == utf8.RuneError && n == 1 {
			quoted := strconv.QuoteToASCII(s[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

// hidden reports whether r is not a character to show: a control or format character, or a
// separator other than a space.
func hidden(r rune) bool { return !unicode.IsGraphic(r) }

// Fprintf is [fmt.Fprintf] for lines that people read: the format is the program's own and
// is printed as it is, each argument passes [Text]. No text from a manifest, registry,
// bundle or node can therefore add a line or reach the terminal as a command.
func Fprintf(w io.Writer, format string, args ...any) error {
	_, err := io.WriteString(w, Sprintf(format, args...))
	return err
}

// Sprintf is [fmt.Sprintf] with the arguments of [Fprintf].
func Sprintf(format string, args ...any) string {
	safe := make([]any, len(args))
	for i, arg := range args {
		safe[i] = safeArg{arg}
	}
	return fmt.Sprintf(format, safe...)
}

// safeArg formats a value as fmt does and passes the result through Text.
type safeArg struct{ v any }

// Format implements [fmt.Formatter]. Errors that were joined are printed in one line.
func (a safeArg) Format(s fmt.State, verb rune) {
	v := a.v
	if err, ok := v.(error); ok {
		v = strings.Join(Lines(err), "; ")
	}
	_, _ = io.WriteString(s, Text(fmt.Sprintf(fmt.FormatString(s, verb), v)))
}

// Lines returns the lines of an error: one for each error that was joined, each behind the
// text that wraps the join, and each line once: several images may fail for the same refused
// login. A line break in the text of an error makes no line of its own: Text escapes it.
func Lines(err error) []string {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var lines, texts []string
		for _, e := range joined.Unwrap() {
			texts = append(texts, e.Error())
			for _, line := range Lines(e) {
				if !slices.Contains(lines, line) {
					lines = append(lines, line)
				}
			}
		}
		if err.Error() == strings.Join(texts, "\n") {
			return lines
		}
		return []string{err.Error()}
	}
	inner := errors.Unwrap(err)
	if inner == nil {
		return []string{err.Error()}
	}
	prefix, ok := strings.CutSuffix(err.Error(), inner.Error())
	if !ok {
		return []string{err.Error()}
	}
	lines := Lines(inner)
	for i, line := range lines {
		lines[i] = prefix + line
	}
	return lines
}
