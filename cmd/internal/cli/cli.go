// Package cli is what the two commands share at their rim: streams, exit codes, and how
// errors and hints are worded.
//
// stdout carries results, stderr everything said to a person. An error is told as
//
//	bundle: error: what happened, to which object
//	bundle: hint: what to do next
package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Exit codes, promised in --help and the manual.
const (
	OK          = 0 // done
	Failed      = 1 // network, disk, I/O
	Usage       = 2 // the command line
	Incomplete  = 3 // an image cannot be had, or is not visible to the kubelet
	RateLimited = 4 // everything got so far is kept; the same command goes on from there
	Refused     = 5 // credentials refused
	Damaged     = 6 // bundle damaged, over the limits, or not trusted
	NoNode      = 7 // no usable containerd
)

// ExitCodes is the section of the help texts that tells them.
const ExitCodes = `Exit codes:
  0  done
  1  failed: network, disk, I/O, or input that cannot be read
  2  usage
  3  incomplete: an image cannot be had, or is not visible to the kubelet
  4  rate limited: everything got so far is kept, the same command goes on from there
  5  credentials refused
  6  bundle damaged, over the limits, or not trusted
  7  no usable containerd
`

// Streams are a command's three streams.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Terminal reports whether w is one.
func Terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Error is an error that a person is told: what happened with an exit code and a hint.
type Error struct {
	Code int
	Err  error
	Hint string // what to do next; may be empty
	Told bool   // it reached the person, or the program, another way already
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Errorf is an Error without a hint.
func Errorf(code int, format string, args ...any) *Error {
	return &Error{Code: code, Err: fmt.Errorf(format, args...)}
}

// WithHint returns e with a hint.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Report tells err on w and returns the exit code. A nil error is code 0.
func Report(w io.Writer, program string, err error) int {
	if err == nil {
		return OK
	}
	code, hint := Failed, ""
	var e *Error
	if errors.As(err, &e) {
		code, hint = e.Code, e.Hint
		if e.Told {
			return code
		}
	}
	told := map[string]bool{} // twelve images may meet the same refused login
	for _, line := range strings.Split(err.Error(), "\n") {
		if told[line] {
			continue
		}
		told[line] = true
		fmt.Fprintf(w, "%s: error: %s\n", program, line)
	}
	if hint != "" {
		fmt.Fprintf(w, "%s: hint: %s\n", program, hint)
	}
	return code
}
