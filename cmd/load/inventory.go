//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"

	"stowage/cmd/internal/cli"
)

const inventoryHelp = `load inventory prints the digests of the blobs that this node holds, one a line, sorted. A
bundle made with "bundle --have" and this list leaves those layers out.

Usage:
  load inventory

  -a, --address SOCKET     containerd's socket (default: as for load)
  -n, --namespace NAME     containerd's namespace (default k8s.io)
  -h, --help               this text

` + cli.ExitCodes + `
Example:
  ssh node sudo load inventory > node.list
  bundle -f calico.yaml --have node.list -o calico.tar
`

// runInventory lists what the node holds.
func runInventory(ctx context.Context, args []string, streams cli.Streams) error {
	s := &settings{}
	fs := cli.NewFlags("load inventory", inventoryHelp, streams)
	s.addNodeFlags(fs.FlagSet)
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("load inventory: takes no arguments, got %s", fs.Arg(0))
	}
	n, err := connect(ctx, s.node)
	if err != nil {
		return err
	}
	defer n.Close() // only asked
	digests, err := n.Blobs(ctx)
	if err != nil {
		return outcome(err)
	}
	out := bufio.NewWriter(streams.Out)
	for _, d := range digests {
		fmt.Fprintln(out, d)
	}
	return out.Flush()
}
