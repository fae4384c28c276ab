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

// A Job is something a program does. It parses its own arguments.
type Job func(ctx context.Context, args []string, streams Streams) error

// A Program is one of the two commands.
type Program struct {
	Name string
	Main Job            // when the first argument is not the name of a job
	Jobs map[string]Job // by the first argument

	// Interrupted is the message of a run that a signal ended.
	Interrupted string
}

// Exit runs the program for this process and ends the process. A second signal ends it at
// once: a run can resume from whatever is on disk or on a node at any point.
func (p *Program) Exit() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	os.Exit(p.Run(ctx, os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// Run runs the job that args name and returns the exit code. It touches nothing global.
func (p *Program) Run(ctx context.Context, args []string, streams Streams) int {
	job := p.Main
	if len(args) > 0 {
		if named, ok := p.Jobs[args[0]]; ok {
			job, args = named, args[1:]
		}
	}
	err := job(ctx, args, streams)
	var usage *Error
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return OK // the help was printed
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = Interrupted(p.Interrupted)
	case errors.As(err, &usage) && usage.Code == Usage && usage.Hint == "":
		usage.Hint = fmt.Sprintf("\"%s --help\" lists all commands and flags", p.Name)
	}
	return Report(streams.Err, p.Name, err)
}

// Interrupted returns the error of a run that a signal ended.
func Interrupted(message string) *Error {
	return Errorf(Failed, "%s", message).WithHint("run the same command again to resume")
}
