//go:build linux

package main

import (
	"context"
	"fmt"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/node/imagedir"
)

const placeHelp = `load place copies a bundle into the directory from which the distribution imports images,
for a node whose containerd does not run yet:

  k3s   /var/lib/rancher/k3s/agent/images
  RKE2  /var/lib/rancher/rke2/agent/images
  k0s   /var/lib/k0s/images (plain tarballs only)

Exactly one of them must exist, or --dir selects one. The distribution does not see the copy
until every digest in it is checked. k3s and RKE2 do not unpack what they import: the first
pod of each image does.

Usage:
  load place FILE

      --dir DIR            the directory (default: the one above that exists)
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
  -h, --help               this text

` + cli.ExitCodes + `
Example:
  sudo mkdir -p /var/lib/rancher/k3s/agent/images
  sudo load place calico.tar
`

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
	if _, err := fmt.Fprintln(streams.Out, p.Path); err != nil {
		return err
	}
	display.Message("%s, %s placed; the node imports what is there when it starts", cli.Count(len(p.Names), "name"), cli.Bytes(p.Size))
	return nil
}
