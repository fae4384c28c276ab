//go:build linux

package main

import (
	"context"
	"io"
	"text/tabwriter"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/cmd/internal/progress"
	"stowage/pkg/archive"
	"stowage/pkg/node"
)

// runUnpin removes pins.
func runUnpin(ctx context.Context, args []string, streams cli.Streams) error {
	s := &settings{name: "load unpin"}
	fs := s.newFlags(unpinHelp, streams)
	s.addNodeFlags(fs.FlagSet)
	all := fs.Bool("all", false, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	s.files = fs.Args()
	switch {
	case len(s.files) == 0 && !*all:
		return cli.Usagef("name the bundle, or --all for the pins of every bundle").WithHint("usage: load unpin FILE|--all")
	case len(s.files) > 0 && *all:
		return cli.Usagef("want either FILE or --all").WithHint("usage: load unpin FILE|--all")
	case len(s.files) > 1:
		return cli.Usagef("want one FILE").WithHint("usage: load unpin FILE, once for each")
	}
	display, err := progress.New(streams.Err, "load", s.progress)
	if err != nil {
		return err
	}
	report, err := s.unpin(ctx)
	if err == nil && s.format == "json" {
		err = document.Write(streams.Out, report)
	} else if err == nil {
		err = printUnpinned(streams.Out, report)
	}
	return display.End(ended(ctx, err), unpinned(report))
}

// unpin removes the pins of the bundle, or of all bundles without one.
func (s *settings) unpin(ctx context.Context) (*node.UnpinReport, error) {
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	var b *archive.Reader
	if len(s.files) > 0 {
		var err error
		if b, err = archive.Open(ctx, s.files[0], nil); err != nil {
			return nil, err
		}
		defer b.Close() // only read from
	}
	n, err := node.Connect(ctx, s.node)
	if err != nil {
		return nil, err
	}
	defer n.Close() // the work is done
	return n.Unpin(ctx, b)
}

// unpinned returns what the table says, for the last event of the run.
func unpinned(r *node.UnpinReport) progress.Result {
	if r == nil {
		return progress.Result{}
	}
	out := progress.Result{Images: new(0)}
	for _, img := range r.Images {
		if img.Kept == "" {
			*out.Images++
			out.Names = append(out.Names, img.Name)
		}
	}
	out.Changed = new(*out.Images > 0)
	return out
}

func printUnpinned(w io.Writer, r *node.UnpinReport) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	cli.Fprintf(t, "NAME\tPINNED\tBY BUNDLE\n")
	for _, i := range r.Images {
		pinned := "no"
		if i.Kept != "" {
			pinned = "yes, by " + words(i.Kept)
		}
		cli.Fprintf(t, "%s\t%s\t%s\n", i.Name, pinned, short(i.Bundle.String()))
	}
	return t.Flush()
}
