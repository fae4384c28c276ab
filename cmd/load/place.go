//go:build linux

package main

import (
	"context"
	"fmt"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/node"
)

const placeHelp = `load place puts a bundle into the folder from which the distribution imports images when it
starts, for a node whose containerd does not run yet:

  k3s   /var/lib/rancher/k3s/agent/images
  RKE2  /var/lib/rancher/rke2/agent/images
  k0s   /var/lib/k0s/images (plain tarballs only)

Exactly one of them must be there, or --dir says which. The copy is written elsewhere on the
same disk, every digest in it is checked, and then it gets its name. k3s and RKE2 do not
unpack what they import: the first pod of each image does.

Usage:
  load place FILE

      --dir DIR            the folder (default: the one above that is there)
  -o, --output FORMAT      text or json (default text)
      --progress MODE      auto, plain, json or none (default auto)
  -h, --help               this text

` + cli.ExitCodes + `
Example:
  sudo mkdir -p /var/lib/rancher/k3s/agent/images
  sudo load place calico.tar
`

// runPlace serves a node that is not up yet.
func runPlace(ctx context.Context, args []string, streams cli.Streams) error {
	s := &settings{}
	var o node.PlaceOptions
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
		return cli.Usagef("--dir: name a folder")
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
	p, err := node.Place(ctx, fs.Arg(0), o)
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
