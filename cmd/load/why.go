//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/pkg/node"
	"stowage/pkg/node/why"
)

// runWhy explains why pods wait for their images.
func runWhy(ctx context.Context, args []string, streams cli.Streams) error {
	s := &settings{name: "load why"}
	var o why.Options
	fs := cli.NewFlags(s.name, whyHelp, streams)
	fs.Guesses = guesses
	fs.StringVarP(&s.node.Address, "address", "a", "", "")
	s.addFormat(fs.FlagSet)
	fs.StringVar(&o.KubeletDir, "kubelet-dir", "", "")
	fs.StringArrayVar(&o.Look, "look", nil, "")
	fs.BoolVar(&o.Ask, "ask", false, "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 1 {
		return cli.Usagef("want one POD, got %s", strings.Join(fs.Args(), " ")).WithHint("\"load why\" explains all pods of this node")
	}
	o.Pod = fs.Arg(0)
	for _, dir := range o.Look {
		if info, err := os.Stat(dir); err != nil || !info.IsDir() {
			return cli.Usagef("--look %s: no such directory", dir)
		}
	}
	report, err := explain(ctx, s.node, o)
	if err != nil {
		return ended(ctx, err)
	}
	return s.printWhy(streams, report)
}

// explain connects to containerd and collects the report.
func explain(ctx context.Context, at node.Options, o why.Options) (*why.Report, error) {
	n, err := node.Connect(ctx, at)
	if err != nil {
		return nil, err
	}
	defer n.Close() // only read from
	report, err := why.Explain(ctx, n, o)
	if none := (*why.PodError)(nil); errors.As(err, &none) {
		return nil, cli.Errorf(cli.Failed, "%s", none).WithHint("%s", podHint(none))
	}
	return report, err
}

// podHint names the pods that there are.
func podHint(e *why.PodError) string {
	if len(e.Pods) == 0 {
		return "\"load why\" explains all that is known of this node"
	}
	return "the pods of this node are " + listed(e.Pods)
}

// listed joins the first texts of a list.
func listed(all []string) string {
	const most = 5
	if len(all) > most {
		return strings.Join(all[:most], ", ") + fmt.Sprintf(" and %d more", len(all)-most)
	}
	return strings.Join(all, ", ")
}

// printWhy prints the report. Something that waits is exit code 3.
func (s *settings) printWhy(streams cli.Streams, r *why.Report) error {
	for _, text := range r.Unread {
		cli.Fprintf(streams.Err, "load: warning: not read: %s\n", text)
	}
	if s.format == "json" {
		if err := document.Write(streams.Out, r); err != nil {
			return err
		}
	} else if err := printWaiting(streams.Out, r.Waiting); err != nil {
		return err
	}
	from := fmt.Sprintf("%s, from %s", cli.Count(r.Pods, "pod"), r.Source)
	if len(r.Waiting) > 0 {
		return cli.Errorf(cli.Incomplete, "pods wait for %s (%s)", cli.Count(len(r.Waiting), "image"), from)
	}
	cli.Fprintf(streams.Err, "load: no pod waits for an image (%s)\n", from)
	return nil
}

// printWaiting prints each image with the pods that wait for it, and a line for each cause
// and each cure.
func printWaiting(w io.Writer, waiting []why.Waiting) error {
	for i, image := range waiting {
		if i > 0 {
			cli.Fprintf(w, "\n")
		}
		var pods []string
		for _, p := range image.Pods {
			pods = append(pods, describe(p))
		}
		cli.Fprintf(w, "%s\n  pods:  %s\n", image.Image, listed(pods))
		for _, c := range image.Causes {
			if err := cli.Fprintf(w, "  cause: %s\n  cure:  %s\n", c.Text, cureLine(c.Cure)); err != nil {
				return err
			}
		}
	}
	return nil
}

// describe names a container that waits, with the kubelet's reason.
func describe(p why.Waiter) string {
	if p.Pod == "" {
		return "unknown, a pull is recorded"
	}
	text := p.Namespace + "/" + p.Pod
	if p.Container != "" {
		text += " " + p.Container
	}
	if p.Reason != "" {
		text += " (" + p.Reason + ")"
	}
	return text
}

// cureLine writes a cure in one line, with commands that can be pasted.
func cureLine(cure why.Cure) string {
	var b strings.Builder
	for i, s := range cure {
		switch {
		case i == 0:
		case s.Say == "":
			b.WriteString(" && ")
		default:
			b.WriteString("; ")
		}
		b.WriteString(s.Say)
		if len(s.Run) > 0 {
			if s.Say != "" {
				b.WriteString(" ")
			}
			b.WriteString(cli.Quote(s.Run...))
		}
	}
	return b.String()
}
