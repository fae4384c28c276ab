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
	p, err := place(ctx, fs.Arg(0), o, display)
	if err == nil {
		err = s.printPlaced(streams, p, display)
	}
	return display.End(ended(ctx, err), placed(p))
}

// place copies the bundle and shows the progress.
func place(ctx context.Context, file string, o imagedir.Options, display *progress.Display) (*imagedir.Placement, error) {
	defer display.Finish()
	o.OnStart = func(total int64) { display.Start(progress.Phase{Name: "place", Total: total, Work: true}) }
	o.OnBytes = display.Add
	return imagedir.Place(ctx, file, o)
}

// placed returns what the summary says, for the last event of the run.
func placed(p *imagedir.Placement) progress.Result {
	if p == nil {
		return progress.Result{}
	}
	return progress.Result{Output: p.Path, Identity: p.Bundle, Size: new(p.Size), Names: p.Names, Images: new(len(p.Names)), Changed: new(true)}
}

func (s *settings) printPlaced(streams cli.Streams, p *imagedir.Placement, display *progress.Display) error {
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
