//go:build linux

package main

import (
	"bufio"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/pkg/node"
)

// runInventory prints the digests that the node holds, or the names of its images.
func runInventory(ctx context.Context, args []string, streams cli.Streams) error {
	s := &settings{name: "load inventory"}
	fs := cli.NewFlags(s.name, inventoryHelp, streams)
	fs.Guesses = guesses
	s.addNodeFlags(fs.FlagSet)
	s.addFormat(fs.FlagSet)
	names := fs.Bool("images", false, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return cli.Usagef("inventory takes no arguments, got %s", fs.Arg(0)).WithHint("\"bundle inspect %s\" shows what a bundle holds", cli.Quote(fs.Arg(0)))
	}
	n, err := node.Connect(ctx, s.node)
	if err != nil {
		return ended(ctx, err)
	}
	defer n.Close() // only read from
	if *names {
		list := func() ([]node.NodeImage, error) {
			all, err := n.Images(ctx)
			if s.format == "text" {
				all = slices.DeleteFunc(all, implied(all))
			}
			return all, err
		}
		return ended(ctx, printInventory(streams.Out, s.format, "images", list, imageLine))
	}
	return ended(ctx, printInventory(streams.Out, s.format, "digests", func() ([]digest.Digest, error) { return n.Blobs(ctx) }, digest.Digest.String))
}

// implied returns a function that reports whether an image is one by digest whose repository
// has a tag with this digest in the list: its line says both.
func implied(all []node.NodeImage) func(node.NodeImage) bool {
	tagged := map[string]bool{}
	for _, i := range all {
		if colon := strings.LastIndexByte(i.Name, ':'); colon > strings.LastIndexByte(i.Name, '/') && !strings.Contains(i.Name, "@") {
			tagged[i.Name[:colon]+"@"+i.Digest.String()] = true
		}
	}
	return func(i node.NodeImage) bool { return tagged[i.Name] }
}

// imageLine returns the line of an image in a list, as "bundle -f" reads it.
func imageLine(i node.NodeImage) string {
	if strings.Contains(i.Name, "@") {
		return i.Name
	}
	return i.Name + "@" + i.Digest.String()
}

// printInventory prints what list returns: as JSON under a key, or one a line.
func printInventory[T any](w io.Writer, format, key string, list func() ([]T, error), line func(T) string) error {
	all, err := list()
	if err != nil {
		return err
	}
	if format == "json" {
		return document.Write(w, map[string][]T{key: append([]T{}, all...)}) // none is [] too
	}
	out := bufio.NewWriter(w)
	for _, v := range all {
		cli.Fprintf(out, "%s\n", line(v))
	}
	return out.Flush()
}
