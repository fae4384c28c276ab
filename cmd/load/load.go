//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/cmd/internal/progress"
	"stowage/cmd/internal/trust"
	"stowage/pkg/archive"
	"stowage/pkg/node"
)

// settings of load and load check.
type settings struct {
	name     string   // of the job, as it is typed
	files    []string // the bundles
	file     string   // the one at work
	node     node.Options
	load     node.LoadOptions
	limit    cli.Rate // of reading the bundles
	trust    trust.Demand
	clusters clusters // whose nodes do the work
	format   string
	progress string
}

// parse reads the flags; a check has fewer than a load.
func parse(name, help string, loading bool, args []string, streams cli.Streams) (*settings, error) {
	s := &settings{name: name}
	fs := s.newFlags(help, streams)
	s.addNodeFlags(fs.FlagSet)
	input := fs.StringArrayP("input", "i", nil, "")
	names := fs.StringArray("name", nil, "")
	fs.StringVar(&s.node.KubeletDir, "kubelet-dir", "", "")
	s.clusters.flags(fs.FlagSet)
	if loading {
		fs.BoolVar(&s.load.TrustPreloaded, "trust-preloaded", false, "")
		fs.StringVar(&s.node.Snapshotter, "snapshotter", "", "")
		fs.BoolVar(&s.load.NoPin, "no-pin", false, "")
		fs.BoolVar(&s.load.NoReferrers, "no-referrers", false, "")
		fs.BoolVar(&s.load.NoMove, "no-move", false, "")
		fs.BoolVar(&s.load.DiscardLayers, "discard-layers", false, "")
		fs.IntVar(&s.load.Jobs, "jobs", 0, "")
		fs.Var(&s.limit, "limit-rate", "")
		s.trust.AddFlags(fs.FlagSet)
		fs.AddVersion("containerd's extractor " + cli.RequirementVersion("github.com/containerd/containerd/v2"))
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	for _, i := range fs.Words() {
		if err := program().NotCommand(args, i); err != nil {
			return nil, err
		}
	}
	if fs.Changed("jobs") && s.load.Jobs < 1 {
		return nil, cli.Usagef("--jobs %d: want 1 or more", s.load.Jobs)
	}
	s.files = append(*input, fs.Args()...)
	if err := s.addNames(*names); err != nil {
		return nil, err
	}
	if err := s.checkInput(streams.In); err != nil {
		return nil, err
	}
	if err := s.clusters.parse(fs.FlagSet); err != nil {
		return nil, err
	}
	if !loading {
		return s, nil
	}
	return s, s.readTrust()
}

// readTrust checks the flags about trust and reads the policy of the node.
func (s *settings) readTrust() error {
	if err := s.trust.ReadPolicy(trust.PolicyFile); err != nil {
		return err
	}
	return s.trust.CheckFlags(s.files)
}

// newFlags returns the flags that every job with a bundle has.
func (s *settings) newFlags(help string, streams cli.Streams) *cli.Flags {
	fs := cli.NewFlags(s.name, help, streams)
	fs.Guesses = guesses
	s.addFormat(fs.FlagSet)
	progress.AddFlags(fs.FlagSet, &s.progress)
	return fs
}

// addNodeFlags adds the flags that select a containerd.
func (s *settings) addNodeFlags(fs *pflag.FlagSet) {
	fs.StringVarP(&s.node.Address, "address", "a", "", "")
	fs.StringVarP(&s.node.Namespace, "namespace", "n", node.KubernetesNamespace, "")
}

// addFormat adds --output.
func (s *settings) addFormat(fs *pflag.FlagSet) {
	fs.StringVarP(&s.format, "output", "o", "text", "")
	cli.Choices(fs, "output", "text", "json")
}

// runLoad is the main job.
func runLoad(ctx context.Context, args []string, streams cli.Streams) error {
	s, err := parse("load", help, true, args, streams)
	if err != nil {
		return err
	}
	if s.clusters.chosen() {
		return s.eachFile(s.onNodes(ctx, streams))
	}
	return s.each(ctx, streams, func(ctx context.Context, n *node.Node, b *source, d *progress.Display) (*node.Report, error) {
		s.load.OnReceive = func() { d.Start(progress.Phase{Name: "receive", Total: -1, Source: "standard input"}) }
		s.load.OnStart = func(total int64) {
			if total > 0 {
				d.Finish()
				d.Start(progress.Phase{Name: "load", Total: total, Work: true})
			}
		}
		s.load.OnBytes = d.Add
		defer d.Finish()
		if b.stream != nil {
			return n.LoadStream(ctx, b.stream, s.load)
		}
		return n.Load(ctx, b.Reader, s.load)
	})
}

// runCheck only verifies; it writes nothing.
func runCheck(ctx context.Context, args []string, streams cli.Streams) error {
	s, err := parse("load check", checkHelp, false, args, streams)
	if err != nil {
		return err
	}
	if s.clusters.chosen() {
		return s.eachFile(s.onNodes(ctx, streams))
	}
	return s.each(ctx, streams, func(ctx context.Context, n *node.Node, b *source, _ *progress.Display) (*node.Report, error) {
		r, err := b.metadata()
		if err == nil {
			err = r.AddNames(s.load.Names)
		}
		if err != nil {
			return nil, err
		}
		return n.Check(ctx, r)
	})
}

// work is the part of a job that needs the node and the bundle.
type work func(context.Context, *node.Node, *source, *progress.Display) (*node.Report, error)

// each runs the job on this node for each bundle.
func (s *settings) each(ctx context.Context, streams cli.Streams, do work) error {
	return s.eachFile(func() error { return s.run(ctx, streams, do) })
}

// eachFile runs a job for each bundle in turn. A bundle that is damaged or incomplete does not
// keep the others from their turn; any other error does.
func (s *settings) eachFile(run func() error) error {
	var errs []error
	for i, file := range s.files {
		s.file = file
		err := run()
		if err == nil {
			continue
		}
		if incomplete := (*node.IncompleteError)(nil); len(s.files) > 1 && errors.As(err, &incomplete) {
			err = fmt.Errorf("%s: %w", file, err)
		}
		errs = append(errs, err)
		if e := (*cli.Error)(nil); errors.As(err, &e) && (e.Code == cli.Incomplete || e.Code == cli.Damaged) {
			continue
		}
		for _, rest := range s.files[i+1:] {
			errs = append(errs, fmt.Errorf("%s: not tried", rest))
		}
		break
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// run opens the bundle, connects, works and reports. The bundle comes first, so that a
// damaged one is refused on a machine without containerd as well.
func (s *settings) run(ctx context.Context, streams cli.Streams, do work) error {
	display, err := progress.New(streams.Err, "load", s.progress)
	if err != nil {
		return err
	}
	report, err := s.do(ctx, streams, display, do)
	return display.End(ended(ctx, err), loaded(s.file, report))
}

// accept returns an error unless the bundle is trusted. Nothing was asked of the node yet.
func (s *settings) accept(b *source, display *progress.Display) error {
	if !s.trust.Asks() {
		return nil
	}
	r, err := b.identified()
	if err != nil {
		return err
	}
	v, err := s.trust.Check(s.file, r)
	if v != nil {
		display.Message("%s is signed by %q (%s)", s.file, v.Key, v.File)
	}
	return err
}

func (s *settings) do(ctx context.Context, streams cli.Streams, display *progress.Display, do work) (*node.Report, error) {
	if err := s.checkFiles(); err != nil {
		return nil, err
	}
	b, err := openSource(ctx, s.file, streams.In, int64(s.limit))
	if err != nil {
		return nil, err
	}
	defer b.Close() // only read from
	if err := s.accept(b, display); err != nil {
		return nil, err
	}
	n, err := node.Connect(ctx, s.node)
	if err != nil {
		return nil, err
	}
	defer n.Close() // the work is done
	report, err := do(ctx, n, b, display)
	if nameless := (*node.NamelessError)(nil); errors.As(err, &nameless) {
		return nil, &cli.Error{Code: cli.Incomplete, Err: err, Hint: s.nameHint(nameless)}
	}
	if report == nil {
		return nil, err
	}
	for _, l := range report.Left {
		if l.Class == archive.ClassIndirect { // any other is a cause
			display.Warning("%s is not in the bundle: %s", l.Name, l.Reason)
		}
	}
	for _, w := range report.Warnings {
		display.Warning("%s", w.Text)
	}
	if perr := s.print(streams.Out, report); perr != nil {
		return report, perr
	}
	if why := report.Kubelet.NotLooked; why != "" && report.Server.CRI == node.CRIReady {
		display.Message("whether the kubelet would ask a registry was not looked at: %s", why)
	}
	for _, name := range report.Kubelet.Dropped {
		display.Message("removed the kubelet's record of an interrupted pull of %s", name)
	}
	for _, name := range report.Kubelet.Trusted {
		display.Message("recorded for the kubelet that every pod may use %s", name)
	}
	if err == nil {
		display.Message("%s", summary(report))
		return report, nil
	}
	s.blame(display, report)
	return report, outcome(err) // the work was done before a signal arrived, if one did
}

// blame shows a line for each cause, and one for the hint of those that share it.
func (s *settings) blame(display *progress.Display, r *node.Report) {
	for i, c := range r.NotReady {
		f := document.Error{Message: c.String(), Image: c.Image, Hint: s.causeHint(c, r.Kubelet)}
		if i+1 < len(r.NotReady) && s.causeHint(r.NotReady[i+1], r.Kubelet) == f.Hint && s.progress != progress.JSON {
			f.Hint = ""
		}
		display.Fault(f)
	}
}

// ended returns the error of a run with its exit code and hint. Whatever fails after a signal
// fails because of it.
func ended(ctx context.Context, err error) error {
	if done := (*cli.Error)(nil); err == nil || errors.As(err, &done) {
		return err
	}
	switch {
	case ctx.Err() == nil:
		return outcome(err)
	case errors.Is(err, node.ErrVisible):
		return cli.Interrupted("interrupted: some images may be visible already; those are complete")
	}
	return cli.Interrupted(interrupted)
}

// loaded returns what the summary says, for the last event of the run.
func loaded(file string, r *node.Report) progress.Result {
	if r == nil {
		return progress.Result{File: file}
	}
	out := progress.Result{
		File:     file,
		Identity: r.Bundle.String(),
		Images:   new(len(r.Images)),
		Ready:    new(0),
		Sent:     new(r.Ingested),
		Present:  new(r.Skipped),
		Changed:  new(!r.UpToDate()),
	}
	unready := map[string]bool{}
	for _, c := range r.NotReady {
		unready[c.Image] = true
	}
	for _, img := range r.Images {
		out.Names = append(out.Names, img.Name)
		if img.CRI == node.Ready && !unready[img.Name] {
			*out.Ready++
		}
	}
	return out
}

func (s *settings) print(w io.Writer, r *node.Report) error {
	if s.format == "json" {
		return document.Write(w, r)
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	cli.Fprintf(t, "NAME\tSTATUS\tCRI\tPINNED\tIMAGE ID\tKUBELET\n")
	for _, img := range r.Images {
		status := words(img.Status)
		if img.Status == node.Moved {
			status += " from " + short(img.Was.String())
		}
		pinned := "no"
		if img.Pinned {
			pinned = "yes"
		}
		cli.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", img.Name, status, words(img.CRI), pinned, short(img.Image.String()), cmp.Or(img.KubeletReason, words(img.Kubelet)))
	}
	return t.Flush()
}

// words returns a state as people read it.
func words[T ~string](state T) string { return strings.ReplaceAll(string(state), "-", " ") }

// short shortens a digest to the part that people compare.
func short(d string) string {
	const n = len("sha256:") + 12
	if len(d) > n {
		return d[:n]
	}
	return d
}

// summary is the last line that a person reads. It promises no more than was verified.
func summary(r *node.Report) string {
	where := fmt.Sprintf("containerd %s at %s, namespace %s", r.Server.Version, r.Server.Address, r.Server.Namespace)
	verified := "CRI has all of them: the kubelet needs no registry"
	if r.Kubelet.NotLooked != "" {
		verified = "CRI has all of them; the kubelet was not looked at"
	}
	switch r.Server.CRI {
	case node.CRIAbsent:
		verified = "this containerd has no CRI, so nothing is verified for a kubelet"
	case node.CRIElsewhere:
		verified = fmt.Sprintf("CRI was not asked (namespace %s): a kubelet will not see these images", r.Server.Namespace)
	}
	if r.UpToDate() {
		return fmt.Sprintf("%s already there; %s (%s)", cli.Count(len(r.Images), "image"), verified, where)
	}
	return fmt.Sprintf("%s loaded, %s sent, %s already there; %s (%s)", cli.Count(len(r.Images), "image"), cli.Bytes(r.Ingested), cli.Bytes(r.Skipped), verified, where)
}
