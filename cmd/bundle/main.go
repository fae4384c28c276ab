// Command bundle writes the container images that Kubernetes manifests need into one file,
// for a place without a registry. See its --help and docs/.
package main

import (
	"errors"
	"os"
	"runtime/debug"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
)

var program = cli.Program{
	Name: "bundle",
	Main: runBundle,
	Jobs: map[string]cli.Job{
		"scan":    runScan,
		"rewrite": runRewrite,
		"inspect": runInspect,
		"verify":  runVerify,
		"diff":    runDiff,
	},
	Interrupted: interrupted,
}

// interrupted is what a run that a signal ended says.
const interrupted = "interrupted"

// gcPercent is how much garbage there may be for what is in use, percent. What is in use is
// small, 9 MB for a bundle of 2000 images, and Go's 100 would let that much again lie about.
// The program waits for the network most of the time.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	program.Exit()
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
