//go:build linux

package main

import (
	"bufio"
	"context"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/cli"
	"stowage/pkg/node"
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
	digests, err := s.blobs(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	out := bufio.NewWriter(streams.Out)
	for _, d := range digests {
		cli.Fprintf(out, "%s\n", d)
	}
	return out.Flush()
}

// blobs asks containerd for the digests of its blobs.
func (s *settings) blobs(ctx context.Context) ([]digest.Digest, error) {
	n, err := node.Connect(ctx, s.node)
	if err != nil {
		return nil, err
	}
	defer n.Close() // only read from
	return n.Blobs(ctx)
}
