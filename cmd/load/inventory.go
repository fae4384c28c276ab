//go:build linux

package main

import (
	"bufio"
	"context"

	"stowage/cmd/internal/cli"
)

// runInventory prints the digests that the node holds.
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
	defer n.Close() // only read from
	digests, err := n.Blobs(ctx)
	if err != nil {
		return outcome(err)
	}
	out := bufio.NewWriter(streams.Out)
	for _, d := range digests {
		cli.Fprintf(out, "%s\n", d)
	}
	return out.Flush()
}
