package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/term"

	"stowage/internal/iox"
)

// Passwords reads passwords from standard input, one a line.
type Passwords struct {
	streams Streams
	lines   *bufio.Reader // nil before the first one that does not come from a terminal
}

// NewPasswords returns a reader of passwords. It reads nothing yet.
func NewPasswords(streams Streams) *Passwords { return &Passwords{streams: streams} }

// Read returns the next password. On a terminal it asks for it with prompt on standard error,
// and what is typed is not shown. The error is io.EOF when there is no line, and that of ctx
// when it ends first.
func (p *Passwords) Read(ctx context.Context, prompt string) (string, error) {
	if f, ok := p.streams.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_ = Fprintf(p.streams.Err, "%s", prompt) // the terminal is there
		defer func() { _ = Fprintf(p.streams.Err, "\n") }()
		return readHidden(ctx, int(f.Fd()))
	}
	if p.lines == nil {
		p.lines = bufio.NewReader(iox.Interruptible(ctx, p.streams.In))
	}
	line, err := p.lines.ReadString('\n')
	if errors.Is(err, io.EOF) && line != "" { // the last line may lack its end
		err = nil
	}
	return strings.TrimRight(line, "\r\n"), err
}

// readHidden reads a line from a terminal without echo. When ctx ends, the terminal shows
// what is typed again.
func readHidden(ctx context.Context, terminal int) (string, error) {
	state, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	line, err := iox.Wait(ctx, func() ([]byte, error) { return term.ReadPassword(terminal) })
	if ctx.Err() != nil {
		return "", errors.Join(ctx.Err(), term.Restore(terminal, state))
	}
	return string(line), err
}
