package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
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

	// Guesses are words of other programs that people try as the name of a job, each with
	// the command that does it: "images" with "bundle scan". A second command is named too
	// when the first does not take the arguments, or needs some: "load check FILE".
	Guesses map[string][]string

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
	name, args, err := p.dispatch(args)
	if err == nil {
		err = p.job(name)(ctx, args, streams)
	}
	var usage *Error
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return OK // the help was printed
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = Interrupted(p.Interrupted)
	case errors.As(err, &usage) && usage.Code == Usage:
		usage.Hint = p.withHelp(usage.Hint, name)
	}
	return Report(streams.Err, p.Name, err)
}

// job returns a job by its name, "" for the main job.
func (p *Program) job(name string) Job {
	if name == "" {
		return p.Main
	}
	return p.Jobs[name]
}

// dispatch returns the job that args name and its arguments. The words help and version are
// the flags of the same names.
func (p *Program) dispatch(args []string) (name string, rest []string, err error) {
	if len(args) == 0 {
		return "", args, nil
	}
	first, rest := args[0], args[1:]
	switch first {
	case "help", "-help":
		if len(rest) == 0 {
			return "", []string{"--help"}, nil
		}
		if _, ok := p.Jobs[rest[0]]; ok {
			return rest[0], []string{"--help"}, nil
		}
		if err := p.NotCommand(rest[:1], 0); err != nil {
			return "", nil, err
		}
		return "", nil, Usagef("help: %q is not a command of %s", rest[0], p.Name)
	case "version", "-version", "-V":
		return "", []string{"--version"}, nil
	}
	if _, ok := p.Jobs[first]; ok {
		return first, rest, nil
	}
	return "", args, p.NotCommand(args, 0)
}

// withHelp adds to the hint of a usage error where the flags of the job are explained.
func (p *Program) withHelp(hint, job string) string {
	help := strings.TrimSpace(p.Name+" "+job) + " --help"
	switch {
	case hint != "":
		return fmt.Sprintf("%s; see \"%s\"", hint, help)
	case job == "":
		return fmt.Sprintf("\"%s\" lists all commands and flags", help)
	}
	return fmt.Sprintf("\"%s\" lists all flags", help)
}

// Help returns the help text of a job, "" for the main job, and its flags.
func (p *Program) Help(name string) (text string, flags *pflag.FlagSet) {
	var out strings.Builder
	streams := Streams{In: strings.NewReader(""), Out: &out, Err: io.Discard, OnHelp: func(fs *pflag.FlagSet) { flags = fs }}
	_ = p.job(name)(context.Background(), []string{"--help"}, streams) // pflag.ErrHelp
	return out.String(), flags
}

// Interrupted returns the error of a run that a signal ended.
func Interrupted(message string) *Error {
	return Errorf(Signalled, "%s", message).WithHint("run the same command again to resume")
}
