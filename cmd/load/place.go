//go:build linux

package main

import (
	"context"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/cmd/internal/progress"
	"stowage/pkg/archive"
	"stowage/pkg/node/imagedir"
)

// runPlace runs load place, for a node whose containerd does not run yet.
func runPlace(ctx context.Context, args []string, streams cli.Streams) error {
	s := &settings{name: "load place"}
	var o imagedir.Options
	fs := s.newFlags(placeHelp, streams)
	fs.StringVar(&o.Dir, "dir", "", "")
	s.trust.AddFlags(fs.FlagSet)
	if err := fs.Parse(args); err != nil {
		return err
	}
	s.files = fs.Args()
	switch {
	case len(s.files) != 1:
		return cli.Usagef("want one FILE").WithHint("usage: load place FILE, once for each")
	case fs.Changed("dir") && o.Dir == "":
		return cli.Usagef("--dir: name a directory")
	}
	if err := s.readTrust(); err != nil {
		return err
	}
	display, err := progress.New(streams.Err, "load", s.progress)
	if err != nil {
		return err
	}
	p, err := s.place(ctx, o, display)
	if err == nil {
		err = s.printPlaced(streams, p, display)
	}
	return display.End(ended(ctx, err), placed(s.files[0], p))
}

// place copies the bundle and shows the progress.
func (s *settings) place(ctx context.Context, o imagedir.Options, display *progress.Display) (*imagedir.Placement, error) {
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	defer display.Finish()
	o.OnStart = func(total int64) { display.Start(progress.Phase{Name: "place", Total: total, Work: true}) }
	o.OnBytes = display.Add
	o.Accept = func(r *archive.Reader) error {
		_, err := s.trust.Check(s.files[0], r)
		return err
	}
	return imagedir.Place(ctx, s.files[0], o)
}

// placed returns what the summary says, for the last event of the run.
func placed(file string, p *imagedir.Placement) progress.Result {
	if p == nil {
		return progress.Result{File: file}
	}
	return progress.Result{File: file, Output: p.Path, Identity: p.Bundle, Size: new(p.Size), Names: p.Names, Images: new(len(p.Names)), Changed: new(true)}
}

func (s *settings) printPlaced(streams cli.Streams, p *imagedir.Placement, display *progress.Display) error {
	for _, w := range p.Warnings {
		display.Warning("%s", w.Text)
	}
	if s.format == "json" {
		return document.Write(streams.Out, p)
	}
	if err := cli.Fprintf(streams.Out, "%s\n", p.Path); err != nil {
		return err
	}
	display.Message("%s, %s placed; the node imports it when it starts", cli.Count(len(p.Names), "image"), cli.Bytes(p.Size))
	return nil
}
