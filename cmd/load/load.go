//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/archive"
	"stowage/pkg/node"
	"stowage/pkg/node/imagedir"
)

// settings of both jobs.
type settings struct {
	file     string
	node     node.Options
	load     node.LoadOptions
	format   string
	progress string
}

// parse reads the flags; those that only a load has are left out for a check.
func parse(name, help string, loading bool, args []string, streams cli.Streams) (*settings, error) {
	s := &settings{}
	fs := cli.NewFlags(name, help, streams)
	s.addNodeFlags(fs.FlagSet)
	fs.StringVarP(&s.format, "output", "o", "text", "")
	fs.StringVar(&s.progress, "progress", progress.Auto, "")
	if loading {
		fs.StringVar(&s.node.Snapshotter, "snapshotter", "", "")
		fs.BoolVar(&s.load.NoPin, "no-pin", false, "")
		fs.BoolVar(&s.load.DiscardLayers, "discard-layers", false, "")
		fs.IntVar(&s.load.Jobs, "jobs", 0, "")
		fs.AddVersion()
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case fs.NArg() == 0:
		return nil, cli.Usagef("%s: name the bundle", name)
	case fs.NArg() > 1:
		return nil, cli.Usagef("%s: one bundle at a time, got %s", name, strings.Join(fs.Args(), " "))
	case fs.Changed("jobs") && s.load.Jobs < 1:
		return nil, cli.Usagef("--jobs %d: want 1 or more", s.load.Jobs)
	}
	s.file = fs.Arg(0)
	return s, s.checkFormat()
}

// addNodeFlags adds the flags that say which containerd.
func (s *settings) addNodeFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&s.node.Address, "address", "a", "", "")
	fs.StringVarP(&s.node.Namespace, "namespace", "n", node.KubernetesNamespace, "")
}

// checkFormat refuses an unknown --output.
func (s *settings) checkFormat() error { return cli.OneOf("output", s.format, "text", "json") }

// runLoad is the main job.
func runLoad(ctx context.Context, args []string, streams cli.Streams) error {
	s, err := parse("load", help, true, args, streams)
	if err != nil {
		return err
	}
	return s.run(ctx, streams, func(ctx context.Context, n *node.Node, b *source, d *progress.Display) (*node.Report, error) {
		s.load.OnStart = func(total int64) {
			if total < 0 {
				d.Start("receive", total)
			} else if total > 0 {
				d.Finish()
				d.Start("load", total)
			}
		}
		s.load.OnBytes = d.Add
		defer d.Finish()
		switch {
		case b.foreign != nil:
			return n.LoadForeign(ctx, b.foreign, s.load)
		case b.stream != nil:
			return n.LoadStream(ctx, b.stream, s.load)
		}
		return n.Load(ctx, b.Reader, s.load)
	})
}

// runCheck is the proof alone.
func runCheck(ctx context.Context, args []string, streams cli.Streams) error {
	s, err := parse("load check", checkHelp, false, args, streams)
	if err != nil {
		return err
	}
	return s.run(ctx, streams, func(ctx context.Context, n *node.Node, b *source, _ *progress.Display) (*node.Report, error) {
		r, err := b.documents()
		if err != nil {
			return nil, err
		}
		return n.Check(ctx, r)
	})
}

// work is what a job does with a node and a bundle.
type work func(context.Context, *node.Node, *source, *progress.Display) (*node.Report, error)

// run opens the bundle, so that a damaged one is refused before the node is looked for,
// connects, works and reports.
func (s *settings) run(ctx context.Context, streams cli.Streams, do work) error {
	display, err := progress.New(streams.Err, "load", s.progress)
	if err != nil {
		return err
	}
	b, err := openSource(ctx, s.file, streams.In)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return outcome(err)
	}
	defer b.Close() // only read from
	n, err := connect(ctx, s.node)
	if err != nil {
		return err
	}
	defer n.Close() // whatever it says, the work is done
	report, err := do(ctx, n, b, display)
	if report == nil { // with one, the work was done before a signal came
		return ended(ctx, err)
	}
	for _, l := range b.skipped() {
		display.Warning("%s is not in the bundle: %s", l.Name, l.Reason)
	}
	for _, w := range report.Warnings {
		display.Warning("%s", w.Text)
	}
	for _, r := range report.Released {
		display.Message("%s is no longer pinned: this bundle takes the place of %s", r.Name, short(r.Bundle.String()))
	}
	if perr := s.print(streams.Out, report); perr != nil {
		return perr
	}
	if err != nil {
		return outcome(err)
	}
	display.Message("%s", summary(report))
	return nil
}

// ended is the error of a job that came to no report. Where the program says of a signal that
// no image was made visible, a load may know better.
func ended(ctx context.Context, err error) error {
	switch {
	case ctx.Err() == nil:
		return outcome(err)
	case errors.Is(err, node.ErrVisible):
		return cli.Interrupted("interrupted: images may be visible already; those that are, are whole")
	}
	return ctx.Err()
}

// connect finds containerd. What a signal cuts short looks like a containerd that is not
// there, and is none.
func connect(ctx context.Context, o node.Options) (*node.Node, error) {
	n, err := node.Connect(ctx, o)
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, outcome(err)
}

func (s *settings) print(w io.Writer, r *node.Report) error {
	if s.format == "json" {
		return cli.WriteJSON(w, r)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tSTATUS\tCRI\tPINNED\tIMAGE ID")
	for _, img := range r.Images {
		status := string(img.Status)
		if img.Status == node.Moved {
			status += " from " + short(img.Was.String())
		}
		pinned := "no"
		if img.Pinned {
			pinned = "yes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", img.Name, status, img.CRI, pinned, short(img.Image.String()))
	}
	return t.Flush()
}

// short cuts a digest to what people compare.
func short(d string) string {
	const n = len("sha256:") + 12
	if len(d) > n {
		return d[:n]
	}
	return d
}

// summary is the last line a person reads. It promises no more than was proved.
func summary(r *node.Report) string {
	where := fmt.Sprintf("containerd %s at %s, namespace %s", r.Server.Version, r.Server.Address, r.Server.Namespace)
	proof := "CRI has every one of them: the kubelet needs no registry"
	if r.Server.CRI != node.CRIReady {
		proof = "there is no CRI here to ask, so nothing is proved for a kubelet"
	}
	if r.UpToDate() {
		return fmt.Sprintf("%s there already; %s (%s)", cli.Count(len(r.Images), "name"), proof, where)
	}
	return fmt.Sprintf("%s loaded, %s sent, %s there already; %s (%s)", cli.Count(len(r.Images), "name"), cli.Bytes(r.Ingested), cli.Bytes(r.Skipped), proof, where)
}

// outcome gives an error its exit code and the hint that goes with its type.
func outcome(err error) *cli.Error {
	var (
		unavailable *node.UnavailableError
		platform    *node.PlatformError
		missing     *node.MissingError
		space       *node.SpaceError
		directory   *imagedir.DirectoryError
		inflated    *node.InflatedError
	)
	e := &cli.Error{Code: cli.Failed, Err: err}
	switch {
	case errors.As(err, &unavailable):
		e.Code, e.Hint = cli.NoNode, nodeHint(unavailable)
	case errors.Is(err, archive.ErrNoHead):
		e.Hint = "save it to a file first: it cannot be read as it arrives"
	case errors.As(err, &inflated):
		e.Code, e.Hint = cli.Damaged, "nothing of it became visible on the node; such a layer is damaged, or made to fill disks: ask the one who made the image"
	case errors.Is(err, archive.ErrDamaged):
		e.Code, e.Hint = cli.Damaged, "nothing of it became visible on the node; copy or make the bundle again, \"bundle verify\" checks it"
	case errors.As(err, &platform):
		e.Code, e.Hint = cli.NoNode, fmt.Sprintf("make the bundle with --platform %s", platform.Platform)
	case errors.As(err, &missing):
		e.Code, e.Hint = cli.Incomplete, missingHint(missing)
	case errors.As(err, &directory):
		e.Code, e.Hint = cli.NoNode, directoryHint(directory)
	case errors.Is(err, imagedir.ErrForm):
		e.Hint = "place a complete, uncompressed bundle"
	case errors.Is(err, node.ErrIncomplete):
		e.Code, e.Hint = cli.Incomplete, "a pod that uses what is missing would ask a registry"
	case errors.As(err, &space), errors.Is(err, syscall.ENOSPC):
		e.Hint = "free some space below containerd's root, or use --discard-layers"
	case errors.Is(err, fs.ErrNotExist):
		e.Hint = "name the file that bundle -o wrote"
	}
	return e
}

// missingHint names the bundle to load first.
func missingHint(e *node.MissingError) string {
	if e.Loaded {
		return "load that bundle again without --discard-layers, or make this one without --since"
	}
	if e.Base == "" {
		return "load the bundle that this one builds on first"
	}
	return fmt.Sprintf("load the bundle %s first; \"bundle inspect\" shows what a file is", e.Base)
}

// directoryHint says how to give the bundle an image directory.
func directoryHint(e *imagedir.DirectoryError) string {
	if len(e.Found) > 0 {
		return "choose one with --dir"
	}
	return "create the image directory of your distribution with mkdir -p, or name another with --dir"
}

// nodeHint says what to do when there is no containerd to talk to.
func nodeHint(e *node.UnavailableError) string {
	switch e.Reason {
	case node.Permission:
		return "run it as root, with sudo"
	case node.Ambiguous:
		return "choose one with --address"
	case node.CRIFailed, node.NoCRI:
		return "the kubelet cannot use this containerd either: look at its log"
	case node.Gone:
		return "look at its log, start it again, and load again: that goes on from here"
	case node.NoSnapshotter:
		return "choose another with --snapshotter, or leave the flag out"
	}
	return "start containerd (or k3s, RKE2, k0s), or name its socket with --address"
}
