// Package cli holds what the two commands share: streams, flags, exit codes, and the form of
// errors and hints.
//
// Results go to standard output, everything else that a person reads to standard error. An
// error is printed as
//
//	bundle: error: what happened, to which object
//	bundle: hint: what to do next
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// Exit codes, documented in --help and README.md.
const (
	OK          = 0   // done
	Failed      = 1   // network, disk, I/O
	Usage       = 2   // the command line
	Incomplete  = 3   // an image is not available, or a pod would not start with it
	RateLimited = 4   // everything fetched so far is kept; the same command resumes
	Refused     = 5   // credentials refused
	Damaged     = 6   // bundle damaged, over the limits, or not trusted
	NoNode      = 7   // no usable containerd
	Signalled   = 130 // SIGINT or SIGTERM ended the run, as shells report it
)

// ExitCodes is the section of the help texts about exit codes.
const ExitCodes = `Exit codes:
  0  done
  1  failed: network, disk, I/O, or input that cannot be read
  2  usage
  3  incomplete: an image is not available, or a pod would not start with it
  4  rate limited: everything fetched so far is kept, the same command resumes
  5  credentials refused
  6  bundle damaged, over the limits, or not trusted
  7  no usable containerd
  130  interrupted: the same command resumes
`

// Streams are a command's three streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer

	// OnHelp, if not nil, receives the flags behind a help text that is printed. Tests
	// compare the two.
	OnHelp func(*pflag.FlagSet)
}

// Terminal reports whether w is a terminal.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Error is an error with its exit code and hint.
type Error struct {
	Code     int
	Err      error
	Hint     string // what to do next; may be empty
	Reported bool   // Report prints nothing: it was reported another way, as JSON
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an Error without a hint.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint returns e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Report prints err to w, a line for each of [Lines], and returns the exit code. A nil error
// is code 0.
func Report(w io.Writer, program string, err error) int {
	if err == nil {
		return OK
	}
	code, hint := Failed, ""
	var e *Error
	if errors.As(err, &e) {
		code, hint = e.Code, e.Hint
		if e.Reported {
			return code
		}
	}
	for _, line := range Lines(err) {
		_ = Fprintf(w, "%s: error: %s\n", program, line) // there is no other place for it
	}
	if hint != "" {
		_ = Fprintf(w, "%s: hint: %s\n", program, hint)
	}
	return code
}
