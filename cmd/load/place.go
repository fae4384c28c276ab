//go:build linux

package main

import (
	"context"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/node/imagedir"
)

// runPlace runs load place, for a node whose containerd does not run yet.
func runPlace(ctx context.Context, args []string, streams cli.Streams) error {
	s := &settings{}
	var o imagedir.Options
	fs := cli.NewFlags("load place", placeHelp, streams)
	fs.StringVar(&o.Dir, "dir", "", "")
	fs.StringVarP(&s.format, "output", "o", "text", "")
	fs.StringVar(&s.progress, "progress", progress.Auto, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	switch {
	case fs.NArg() != 1:
		return cli.Usagef("load place: name one bundle")
	case fs.Changed("dir") && o.Dir == "":
		return cli.Usagef("--dir: name a directory")
	}
	if err := s.checkFormat(); err != nil {
		return err
	}
	display, err := progress.New(streams.Err, "load", s.progress)
	if err != nil {
		return err
	}
	o.OnStart = func(total int64) { display.Start("place", total) }
	o.OnBytes = display.Add
	p, err := imagedir.Place(ctx, fs.Arg(0), o)
	display.Finish()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return outcome(err)
	}
	for _, w := range p.Warnings {
		display.Warning("%s", w.Text)
	}
	if s.format == "json" {
		return cli.WriteJSON(streams.Out, p)
	}
	if err := cli.Fprintf(streams.Out, "%s\n", p.Path); err != nil {
		return err
	}
	display.Message("%s, %s placed; the node imports it when it starts", cli.Count(len(p.Names), "image"), cli.Bytes(p.Size))
	return nil
}
