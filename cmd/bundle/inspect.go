package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/pflag"

	"stowage/cmd/bundle/internal/report"
	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/cmd/internal/progress"
	"stowage/cmd/internal/trust"
	"stowage/pkg/archive"
)

// readJob is the command line of the jobs that only read bundles.
type readJob struct {
	format string
	files  []string
}

// textOrJSON are the formats of most of these jobs.
var textOrJSON = []string{"text", "json"}

// parseReport reads the flags that these jobs share, and those that more, if not nil, adds.
// want names their arguments.
func parseReport(name, help string, formats, args []string, streams cli.Streams, more func(*pflag.FlagSet), want ...string) (*readJob, error) {
	r := &readJob{}
	fs := cli.NewFlags("bundle "+name, help, streams)
	fs.Guesses = readGuesses
	fs.StringVarP(&r.format, "output", "o", "text", "")
	cli.Choices(fs.FlagSet, "output", formats...)
	if more != nil {
		more(fs.FlagSet)
	}
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if r.files = fs.Args(); len(r.files) == len(want) {
		return r, nil
	}
	if len(want) > 1 || len(r.files) == 0 {
		return nil, cli.Usagef("%s: want %s, got %d", name, strings.Join(want, " and "), len(r.files))
	}
	lines := make([]string, len(r.files))
	for i, file := range r.files {
		lines[i] = "bundle " + name + " " + cli.Quote(file)
	}
	return nil, cli.Usagef("%s: want one %s, got %d", name, want[0], len(r.files)).WithHint("try \"%s\"", strings.Join(lines, " && "))
}

// readGuesses are flags of other programs for the file, which has none here.
var readGuesses = map[string]string{"f": "", "file": "", "filename": "", "i": "", "input": "", "json": "-o json", "format": "-o json"}

// open opens a bundle whose layers are not needed. Its error has an exit code and a hint.
func open(ctx context.Context, path string) (*archive.Reader, error) {
	r, err := archive.Open(ctx, path, &archive.OpenOptions{Metadata: true})
	if err != nil {
		return nil, openError(path, err)
	}
	return r, nil
}

// openError returns the error of opening a bundle.
func openError(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return cli.Errorf(cli.Failed, "%s: no such file", path).WithHint("name a file that \"bundle -o\" wrote")
	}
	return outcome(err)
}

// runInspect shows what is in a bundle.
func runInspect(ctx context.Context, args []string, streams cli.Streams) error {
	rep, err := parseReport("inspect", inspectHelp, []string{"text", "json", "html", "identity"}, args, streams, nil, "FILE")
	if err != nil {
		return err
	}
	r, err := open(ctx, rep.files[0])
	if err != nil {
		return err
	}
	defer r.Close() // only read from
	if rep.format == "identity" {
		return cli.Fprintf(streams.Out, "%s\n", r.Digest())
	}
	s, err := r.Inspect()
	if err != nil {
		return outcome(err)
	}
	switch rep.format {
	case "json":
		return document.Write(streams.Out, s)
	case "html":
		return report.HTML(streams.Out, filepath.Base(rep.files[0]), s, attachedAs)
	}
	return printSummary(streams.Out, s)
}

func printSummary(w io.Writer, s *archive.Summary) error {
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	cli.Fprintf(t, "NAME\tPLATFORM\tLAYERS\tSIZE\tDIGEST\n")
	for _, img := range s.Images {
		for _, name := range img.Names {
			for _, m := range img.Manifests {
				platform := m.Platform
				if platform == "" {
					platform = m.ArtifactType
				}
				cli.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", name, platform, len(m.Layers), cli.Bytes(m.Size), img.Digest)
			}
		}
		for _, a := range img.Referrers {
			cli.Fprintf(t, "  attached\t%s\t\t%s\t%s\n", attachedAs(a), cli.Bytes(a.Size), a.Digest)
		}
	}
	for _, l := range s.Skipped {
		what := "skipped"
		if l.Platforms != "" {
			what = "no " + l.Platforms
		}
		cli.Fprintf(t, "%s\t%s\t\t\t%s\n", l.Name, what, l.Reason)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	err := cli.Fprintf(w, "\n%s, %s, %s saved by sharing, identity %s\n", cli.Bytes(s.Size), cli.Count(s.Blobs, "blob"), cli.Bytes(s.SavedSize), s.Digest)
	if err == nil && s.Omitted > 0 {
		err = cli.Fprintf(w, "differential: %d layers (%s) must be on the node already\n", s.Omitted, cli.Bytes(s.OmitSize))
	}
	return err
}

// attachedAs returns what a referrer is: by cosign's tags, whose manifests have the types of
// an image, or by its type.
func attachedAs(a archive.ReferrerSummary) string {
	for suffix, kind := range map[string]string{".sig": "signature", ".att": "attestation", ".sbom": "SBOM"} {
		if strings.HasSuffix(a.Tag, suffix) {
			return kind
		}
	}
	return a.ArtifactType
}

// runVerify checks every digest of a bundle.
func runVerify(ctx context.Context, args []string, streams cli.Streams) error {
	var jobs int
	var mode string
	var demand trust.Demand
	rep, err := parseReport("verify", verifyHelp, textOrJSON, args, streams, func(fs *pflag.FlagSet) {
		fs.IntVar(&jobs, "jobs", 0, "")
		progress.AddFlags(fs, &mode)
		demand.AddFlags(fs)
	}, "FILE")
	if err == nil {
		err = demand.CheckFlags(rep.files)
	}
	if err != nil {
		return err
	}
	display, err := progress.New(streams.Err, "bundle", mode)
	if err != nil {
		return err
	}
	v := document.Verification{File: rep.files[0], Errors: []document.Error{}}
	err = ended(ctx, verify(ctx, &v, jobs, demand, display))
	result := progress.Result{File: v.File, Identity: v.Identity}
	if v.Identity != "" {
		result.Size = new(v.Size)
	}
	switch {
	case rep.format == "json":
		if err != nil {
			v.Errors = faults(err)
		}
		if werr := document.Write(streams.Out, v); werr != nil {
			err = werr
		}
	case err == nil:
		note := ""
		if v.Uncompared > 0 {
			note = fmt.Sprintf("; %s not compared with a config: omitted, or not of an image", cli.Count(v.Uncompared, "layer"))
		}
		if v.SignedBy != "" {
			note += fmt.Sprintf("; signed by %q", v.SignedBy)
		}
		err = cli.Fprintf(streams.Out, "%s is intact: %s, %s, identity %s%s\n", v.File, cli.Count(v.Blobs, "blob"), cli.Bytes(v.Size), v.Identity, note)
	}
	return display.End(err, result)
}

func verify(ctx context.Context, v *document.Verification, jobs int, demand trust.Demand, display *progress.Display) error {
	r, err := archive.Open(ctx, v.File, nil)
	if err != nil {
		return openError(v.File, err)
	}
	defer r.Close() // only read from
	v.Uncompared = r.Uncompared()
	v.Identity, v.Blobs, v.Size = r.Digest().String(), len(r.Blobs()), r.Size()
	by, err := demand.Check(v.File, r)
	if err != nil {
		return err
	}
	if by != nil {
		v.SignedBy, v.Signature = by.Key, by.File
	}
	phase := progress.Phase{Name: "verify"}
	for _, b := range r.Blobs() {
		phase.Total += b.Size
	}
	display.Start(phase)
	err = r.VerifyContents(ctx, jobs, display.Add)
	display.Finish()
	if err != nil && ctx.Err() == nil {
		return outcome(err)
	}
	return err
}

// runDiff compares two bundles.
func runDiff(ctx context.Context, args []string, streams cli.Streams) error {
	rep, err := parseReport("diff", diffHelp, textOrJSON, args, streams, nil, "OLD", "NEW")
	if err != nil {
		return err
	}
	before, err := open(ctx, rep.files[0])
	if err != nil {
		return err
	}
	defer before.Close() // only read from
	after, err := open(ctx, rep.files[1])
	if err != nil {
		return err
	}
	defer after.Close() // only read from
	d := archive.Compare(before, after)
	if rep.format == "json" {
		return document.Write(streams.Out, d)
	}
	return printDifference(streams.Out, d)
}

func printDifference(w io.Writer, d *archive.Difference) error {
	var b strings.Builder
	for _, n := range d.Added {
		cli.Fprintf(&b, "+ %s  %s\n", n.Name, n.Digest)
	}
	for _, n := range d.Removed {
		cli.Fprintf(&b, "- %s  %s\n", n.Name, n.Digest)
	}
	for _, c := range d.Changed {
		cli.Fprintf(&b, "~ %s  %s → %s\n", c.Name, c.Old, c.New)
	}
	cli.Fprintf(&b, "%d added, %d removed, %d changed, %d unchanged; %s in %s added, %s in %s removed\n",
		len(d.Added), len(d.Removed), len(d.Changed), d.Same, cli.Bytes(d.NewSize), cli.Count(d.NewBlobs, "blob"), cli.Bytes(d.GoneSize), cli.Count(d.GoneBlobs, "blob"))
	_, err := io.WriteString(w, b.String())
	return err
}
