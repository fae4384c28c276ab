package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/archive"
	"stowage/pkg/bundle"
	"stowage/pkg/pull"
)

// job is one run of the main job.
type job struct {
	*settings
	streams cli.Streams
	display *progress.Display
	file    *file    // nil before something is written
	uses    []podUse // of the pods in the input
	summary *summary // nil without --summary

	parts    map[digest.Digest]int // of the fetch, by blob; set before the first bytes
	fetching atomic.Int64          // bytes of all blobs of the bundle; 0 before they are known
	fetched  atomic.Int64          // of these, by this run or an earlier one, and then those compressed
}

// runBundle is the main job: manifests → images → one file.
func runBundle(ctx context.Context, args []string, streams cli.Streams) error {
	s, err := parseBundle(ctx, args, streams)
	if err != nil {
		return err
	}
	j := &job{settings: s, streams: streams}
	if j.display, err = progress.New(streams.Err, "bundle", s.progress); err != nil {
		return err
	}
	if err := j.checkFiles(); err != nil {
		return j.display.End(err, progress.Result{}, faults(err)...)
	}
	if s.summaryFile != "" {
		j.summary = newSummary(ctx, j)
	}
	result, err := j.run(ctx)
	if werr := j.summary.write(context.WithoutCancel(ctx), j, result, ended(ctx, err)); werr != nil {
		err = errors.Join(err, werr)
	}
	return j.display.End(ended(ctx, err), j.made(result), faults(err)...)
}

// run returns a result unless it failed before the first request. The result has a digest when
// the run wrote a bundle or found it up to date.
func (j *job) run(ctx context.Context) (*bundle.Result, error) {
	// Input that cannot be read ends the job before any request: a bundle of the rest would
	// lack images.
	j.scanOptions.Distinct = j.summary == nil // it says where each image is named
	found, err := j.scan(ctx, j.streams)
	for _, n := range j.notes {
		j.display.Message("%s", n)
	}
	if err != nil {
		return nil, inputError(err)
	}
	for _, w := range j.warnings {
		j.display.Warning("%s", w)
	}
	for _, line := range warningLines(found.Warnings) {
		j.display.Warning("%s", line)
	}
	j.uses = usesOf(found)
	j.summary.found(found)
	j.request.Images = append(gather(found), j.request.Images...)
	for _, l := range found.LeftOut {
		j.request.Skipped = append(j.request.Skipped, archive.Skipped{Name: l.Name, Reason: l.Reason})
	}
	if len(j.request.Images) == 0 {
		return nil, cli.Errorf(cli.Failed, "no image found in %s", strings.Join(j.sources, ", ")).
			WithHint("run \"bundle scan -f FILE --output wide\" to see what is found, or name images on the command line")
	}
	if err := j.order(); err != nil {
		return nil, err
	}
	opts, store, err := j.client(j.streams, j.display, found)
	if err != nil {
		return nil, err
	}
	if j.explain {
		return nil, j.explainAuth(ctx, store)
	}
	j.options.Pull, j.options.Events, j.options.Parts = opts, j.show, j.display.ShowsParts()
	if j.request.Writer != nil {
		j.file = &file{}
		j.request.Writer = io.MultiWriter(j.request.Writer, j.file)
	}
	result, err := bundle.Make(ctx, j.request, j.options)
	if result != nil && result.Digest != "" {
		if perr := j.print(ctx, result); perr != nil {
			return result, errors.Join(perr, err)
		}
	}
	switch {
	case err == nil:
		return result, nil
	case ctx.Err() != nil:
		return result, j.interrupted()
	}
	return result, outcome(err)
}

// interrupted returns the error of a run that a signal ended. It says what the next run
// resumes with.
func (j *job) interrupted() error {
	total := j.fetching.Load()
	if total == 0 || j.request.Writer != nil {
		return cli.Interrupted(interrupted)
	}
	return cli.Interrupted(cli.Sprintf("%s: %s of %s are kept in %s.partial", interrupted, cli.Bytes(min(j.fetched.Load(), total)), cli.Bytes(total), j.request.Output))
}

// show displays an event of the run.
func (j *job) show(e bundle.Event) {
	switch e := e.(type) {
	case bundle.EventResolve:
		j.display.Message("resolving %s for %s", cli.Count(e.Images, "image"), j.platformNames())
	case bundle.EventEstimate:
		j.estimate(e.Estimate)
	case bundle.EventSkip:
		what := "is skipped"
		if e.Platforms != "" {
			what = "is skipped for " + e.Platforms
		}
		j.display.Warning("%s %s: %s", e.Name, what, e.Reason)
	case bundle.EventArtifact:
		j.artifact(e)
	case bundle.EventStart:
		j.start(e)
	case bundle.EventBytes:
		j.fetched.Add(e.N)
		part, ok := j.parts[e.Blob]
		if !ok {
			part = -1
		}
		j.display.AddFrom(e.Host, part, e.N)
	case bundle.EventFinish:
		j.display.Finish()
	case bundle.EventKept:
		if e.Err != nil {
			j.display.Warning("the blobs of the other images could not all be fetched: %v", e.Err)
			return
		}
		j.display.Message("%d of %s fetched and kept beside %s", e.Images, cli.Count(e.Of, "image"), j.request.Output)
	}
}

// start displays the start of a stage. What an earlier run has fetched is done.
func (j *job) start(e bundle.EventStart) {
	phase := progress.Phase{Name: string(e.Stage), Total: e.Bytes, Done: e.Kept}
	if e.Stage == bundle.Fetch {
		phase.Patience = pull.DefaultStallTimeout
		phase.Parts = j.split(e.Parts)
		j.fetching.Store(e.Bytes)
		j.fetched.Store(e.Kept)
	}
	switch {
	case e.Stage != bundle.Fetch || j.request.Writer != nil:
	case e.Kept > 0:
		j.display.Message("resuming: %s of %s are here", cli.Bytes(e.Kept), cli.Bytes(e.Bytes))
	default:
		j.display.Message("fetching %s in %s", cli.Bytes(e.Bytes), cli.Count(e.Blobs, "blob"))
	}
	j.display.Start(phase)
}

// split returns the parts of a phase, and notes which blobs belong to which.
func (j *job) split(parts []bundle.Part) []progress.Part {
	j.parts = map[digest.Digest]int{}
	out := make([]progress.Part, len(parts))
	for i, p := range parts {
		out[i] = progress.Part{Name: p.Name, Total: p.Bytes, Done: p.Kept}
		for _, d := range p.Blobs {
			j.parts[d] = i
		}
	}
	return out
}

// estimate displays what each registry and account is needed for and what its limit leaves.
func (j *job) estimate(e pull.Estimate) {
	j.summary.limits(e.Quotas)
	first := fmt.Sprintf("%s (%d already here): %s needed", cli.Count(e.Images, "image"), e.Held, cli.Count(e.Pulls, "pull"))
	if e.Bytes > 0 {
		first += fmt.Sprintf("; at least %s of layers", cli.Bytes(e.Bytes))
	}
	j.display.Message("%s", first)
	for _, n := range e.Needs {
		account := "without a login"
		if n.Account != "" {
			account = "with the account from " + n.Account
		}
		line := fmt.Sprintf("%s: %s needed %s; ", n.Host, cli.Count(n.Pulls, "pull"), account)
		switch q := n.Quota; {
		case !q.Known:
			j.display.Message("%sno known limit", line)
		case q.Remaining < n.Pulls:
			j.display.Warning("%s%d of %d left (limit per %s): %d too few", line, q.Remaining, q.Limit, hours(q.Window), n.Pulls-q.Remaining)
		default:
			j.display.Message("%s%d of %d left (limit per %s)", line, q.Remaining, q.Limit, hours(q.Window))
		}
	}
}

// hours writes a duration without the units that are zero: 6h.
func hours(d time.Duration) string {
	text := strings.TrimSuffix(d.String(), "m0s")
	if len(text) < len(d.String()) {
		text = strings.TrimSuffix(text+"m", "h0m")
		if !strings.HasSuffix(text, "m") {
			text += "h"
		}
	}
	return text
}

func (j *job) platformNames() string {
	if j.request.All {
		return "all platforms"
	}
	names := make([]string, len(j.request.Platforms))
	for i, p := range j.request.Platforms {
		names[i] = strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
	}
	return strings.Join(names, ", ")
}

// print prints what is in the bundle, one name a line with its digest, on standard output, or
// as messages when the bundle itself goes there. The summary comes last, where it stays on
// the screen.
func (j *job) print(ctx context.Context, r *bundle.Result) (err error) {
	if j.request.Writer == nil {
		if j.file, err = j.written(ctx); err != nil {
			return err
		}
	}
	for _, img := range r.Images {
		line := withDigest(img.Name, img.Target.Digest)
		if j.request.Writer != nil {
			j.display.Message("%s", line)
		} else if err := cli.Fprintf(j.streams.Out, "%s\n", line); err != nil {
			return err
		}
	}
	switch {
	case j.request.Writer != nil:
		j.display.Message("wrote standard output: %s", j.totals(r))
		j.hintSecrets(r)
		return nil
	case r.UpToDate:
		j.display.Message("%s is up to date: %s", j.request.Output, j.totals(r))
	default:
		j.display.Message("wrote %s: %s", j.request.Output, j.totals(r))
	}
	j.hintSecrets(r)
	if err := j.sign(ctx, r); err != nil {
		return err
	}
	if j.checksum {
		j.display.Message("SHA-256 of %s: %s, also in %[1]s.sha256", j.request.Output, j.file.sha256)
	}
	return nil
}

// totals says what is in the bundle, how large what was written is, and what it cost.
func (j *job) totals(r *bundle.Result) string {
	s := fmt.Sprintf("%s, %s, %s used", cli.Count(r.Requested-r.Missing, "image"), j.file.sizes(r.Size), cli.Count(int(r.Stats.ManifestGET), "pull"))
	if r.Missing > 0 {
		s += fmt.Sprintf("; %s skipped, see above", cli.Count(r.Missing, "image"))
	}
	if n := len(r.Skipped) - r.Missing; n > 0 {
		s += fmt.Sprintf("; %s without a platform, see above", cli.Count(n, "image"))
	}
	return s + "; identity " + r.Digest.String()
}
