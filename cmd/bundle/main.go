// Command bundle writes the container images that Kubernetes manifests need into one file,
// for a place without a registry. See its --help and docs/.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once: what is on disk may be taken up again at any point.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// command is a job of the program. It parses its own arguments.
type command func(ctx context.Context, args []string, io cli.Streams) error

var commands = map[string]command{
	"scan":    runScan,
	"rewrite": runRewrite,
	"inspect": runInspect,
	"verify":  runVerify,
	"diff":    runDiff,
}

// run is the program: it returns the exit code and touches nothing global.
func run(ctx context.Context, args []string, io cli.Streams) int {
	job := command(runBundle)
	if len(args) > 0 {
		if c, ok := commands[args[0]]; ok {
			job, args = c, args[1:]
		}
	}
	err := job(ctx, args, io)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return cli.OK // the help was printed
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = interrupted()
	}
	return cli.Report(io.Err, "bundle", err)
}

// helpShown is told which flags stand behind a help text; the test that holds the two
// together listens.
var helpShown = func(*pflag.FlagSet) {}

func interrupted() error {
	return cli.Errorf(cli.Failed, "interrupted").WithHint("the same command goes on from here")
}

// newFlags returns an empty set of flags that prints help to stdout when it is asked for
// and nothing at all otherwise.
func newFlags(name, help string, io cli.Streams) *pflag.FlagSet {
	fs := pflag.NewFlagSet(name, pflag.ContinueOnError)
	fs.SortFlags = false
	fs.Usage = func() {
		helpShown(fs)
		fmt.Fprint(io.Out, help)
	}
	fs.SetOutput(io.Err)
	return fs
}

// parse reads args into fs; a mistake is an error of usage with the command to ask for help.
func parse(fs *pflag.FlagSet, args []string) error {
	err := fs.Parse(args)
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return err
	}
	return usagef("%w", err)
}

func usagef(format string, args ...any) *cli.Error {
	return cli.Errorf(cli.Usage, format, args...).WithHint("bundle --help lists what there is")
}
