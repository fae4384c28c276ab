package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
)

// Job is something a program does. It parses its own arguments.
type Job func(ctx context.Context, args []string, streams Streams) error

// Program is one of the two commands.
type Program struct {
	Name string
	Main Job            // without a job's name before the arguments
	Jobs map[string]Job // by the first argument

	// Interrupted is what a run that a signal ended says.
	Interrupted string
}

// Exit runs the program for this process and ends it. A second signal ends it at once:
// what is on disk, or on a node, may be taken up again at any point.
func (p *Program) Exit() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(p.Run(ctx, os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// Run is the program: it returns the exit code and touches nothing global.
func (p *Program) Run(ctx context.Context, args []string, streams Streams) int {
	job := p.Main
	if len(args) > 0 {
		if named, ok := p.Jobs[args[0]]; ok {
			job, args = named, args[1:]
		}
	}
	err := job(ctx, args, streams)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return OK // the help was printed
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = Interrupted(p.Interrupted)
	}
	return Report(streams.Err, p.Name, err)
}

// Interrupted is the error of a run that a signal ended.
func Interrupted(what string) *Error {
	return Errorf(Failed, "%s", what).WithHint("the same command goes on from here")
}

// HelpShown is told which flags stand behind a help text that is printed; the tests that
// hold the two together listen.
var HelpShown = func(*pflag.FlagSet) {}

// NewFlags returns an empty set of flags that prints help to stdout when it is asked for,
// and nothing at all otherwise.
func NewFlags(name, help string, streams Streams) *pflag.FlagSet {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {
		HelpShown(fs)
		fmt.Fprint(streams.Out, help)
	}
	fs.SetOutput(streams.Err)
	return fs
}
