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
	s := &settings{name: "load inventory"}
	fs := cli.NewFlags(s.name, inventoryHelp, streams)
	fs.Guesses = guesses
	s.addNodeFlags(fs.FlagSet)
	fs.StringVarP(&s.format, "output", "o", "text", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("inventory takes no arguments, got %s", fs.Arg(0)).WithHint("\"bundle inspect %s\" shows what a bundle holds", cli.Quote(fs.Arg(0)))
	}
	if err := s.checkFormat(); err != nil {
		return err
	}
	digests, err := s.blobs(ctx)
	if err != nil {
		return ended(ctx, err)
	}
	if s.format == "json" {
		return cli.WriteJSON(streams.Out, append([]digest.Digest{}, digests...)) // none is [] too
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
