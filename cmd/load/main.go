//go:build linux

// Command load puts a bundle's images into this node's containerd and asks the node, as the
// kubelet would, whether each is there. See its --help and docs/.
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
	// A second signal ends the program at once; the next run takes up what this one left.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
}

// run is the program: it returns the exit code and touches nothing global.
func run(ctx context.Context, args []string, io cli.Streams) int {
	job := runLoad
	if len(args) > 0 {
		if named, ok := jobs[args[0]]; ok {
			job, args = named, args[1:]
		}
	}
	err := job(ctx, args, io)
	switch {
	case errors.Is(err, pflag.ErrHelp):
		return cli.OK // the help was printed
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		err = cli.Errorf(cli.Failed, "interrupted: no image was made visible").WithHint("the same command goes on from here")
	}
	return cli.Report(io.Err, "load", err)
}

// jobs are the ones with a name of their own.
var jobs = map[string]func(context.Context, []string, cli.Streams) error{
	"check":     runCheck,
	"inventory": runInventory,
	"place":     runPlace,
	"unpin":     runUnpin,
}

const help = `load puts the images of a bundle into this node's containerd, so that the kubelet needs no
registry for them, and then asks the node for each of them as the kubelet would.

Usage:
  load FILE          import, unpack, pin, and prove; FILE may be packed with gzip or zstd
  load -             the same from standard input, as it arrives: nothing is stored twice
  load check FILE    the proof alone; writes nothing
  load inventory     the digests this node holds, for "bundle --have"
  load place FILE    for a node that is not up yet: into the image folder of k3s, RKE2 or k0s
  load unpin [FILE]  let the kubelet's garbage collection have the images again

  -a, --address SOCKET     containerd's socket (default: CONTAINERD_ADDRESS, else the usual
                           places of k3s, RKE2, k0s, microk8s and containerd itself)
  -n, --namespace NAME     containerd's namespace (default k8s.io, the kubelet's)
      --snapshotter NAME   where to unpack (default: what the node's CRI uses)
      --no-pin             let the kubelet's garbage collection remove the images
      --discard-layers     do not keep the compressed layers: less disk and time, but then
                           the images cannot be exported, pushed, or given to other nodes
                           by this one, nor used with another snapshotter
      --jobs N             layers at once (default: the number of cores, at most 4)
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
      --version            print the version and end
  -h, --help               this text

It needs root. What is there already is neither read nor sent again. Names become visible
last, when everything below them is complete and on disk: a run that ends early leaves no
image that is not whole, and the same command goes on from there.

` + cli.ExitCodes + `
Example:
  sudo load calico.tar
  ssh node sudo load - < calico.tar
`

const checkHelp = `load check asks the node for each image of a bundle, as the kubelet would. It writes nothing.

Usage:
  load check FILE

  -a, --address SOCKET     containerd's socket (default: as for load)
  -n, --namespace NAME     containerd's namespace (default k8s.io)
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
  -h, --help               this text

` + cli.ExitCodes + `
Example:
  load check calico.tar && echo "the kubelet needs no registry for these"
`

// helpShown is told which flags stand behind a help text; the test that holds the two
// together listens.
var helpShown = func(*pflag.FlagSet) {}

// newFlags returns an empty set of flags that prints help to stdout when it is asked for.
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

func usagef(format string, args ...any) *cli.Error {
	return cli.Errorf(cli.Usage, format, args...).WithHint("load --help lists what there is")
}
