//go:build linux

package main

import (
	"context"
	"io"
	"text/tabwriter"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/node"
)

// runUnpin removes pins.
func runUnpin(ctx context.Context, args []string, streams cli.Streams) error {
	s := &settings{}
	fs := cli.NewFlags("load unpin", unpinHelp, streams)
	s.addNodeFlags(fs.FlagSet)
	fs.StringVarP(&s.format, "output", "o", "text", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 1 {
		return cli.Usagef("load unpin: one bundle at a time, or none for all")
	}
	if err := s.checkFormat(); err != nil {
		return err
	}
	var b *archive.Reader
	if fs.NArg() == 1 {
		var err error
		if b, err = archive.Open(ctx, fs.Arg(0), nil); err != nil {
			return outcome(err)
		}
		defer b.Close() // only read from
	}
	n, err := connect(ctx, s.node)
	if err != nil {
		return err
	}
	defer n.Close() // the work is done
	report, err := n.Unpin(ctx, b)
	if err != nil {
		return outcome(err)
	}
	if s.format == "json" {
		return cli.WriteJSON(streams.Out, report)
	}
	return printUnpinned(streams.Out, report)
}

func printUnpinned(w io.Writer, r *node.UnpinReport) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	cli.Fprintf(t, "NAME\tPINNED\tBY BUNDLE\n")
	for _, i := range r.Images {
		pinned := "no"
		if i.Kept != "" {
			pinned = "yes, by " + string(i.Kept)
		}
		cli.Fprintf(t, "%s\t%s\t%s\n", i.Name, pinned, short(i.Bundle.String()))
	}
	return t.Flush()
}
