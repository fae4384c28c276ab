package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/archive"
	"stowage/pkg/pull"
	"stowage/pkg/pull/account"
	"stowage/pkg/scan"
)

// job is one run of the main job.
type job struct {
	*settings
	streams cli.Streams
	display *progress.Display

	wanted  []*wanted
	skipped []archive.Skipped
	failed  error // why images that are needed are missing, with --keep-going
	store   *account.Store
	draft   *archive.Draft // nil for standard output
	older   *older         // bundles whose content may be used again
	client  *pull.Client

	docs     *documents
	pins     *pins
	resolved []pull.Resolved     // of a flat bundle, whose plan does not tell them any more
	layout   archive.PlanOptions // of every plan of this job
}

// runBundle is the main job: manifests → images → one file.
func runBundle(ctx context.Context, args []string, streams cli.Streams) error {
	s, err := parseBundle(args, streams)
	if err != nil {
		return err
	}
	j := &job{settings: s, streams: streams}
	if j.display, err = progress.New(streams.Err, "bundle", s.progress); err != nil {
		return usagef("--%w", err)
	}
	return j.display.Fail(j.run(ctx))
}

func (j *job) run(ctx context.Context) error {
	if err := j.read(ctx); err != nil {
		return err
	}
	if j.explain {
		return j.explainAuth(ctx)
	}
	if err := j.make(ctx); err != nil {
		if ctx.Err() != nil {
			return cli.Interrupted(interrupted)
		}
		return outcome(err)
	}
	return nil
}

// read scans the input and loads the accounts. Input that cannot be read ends the job
// before anything is asked for: a bundle made of the rest would be short.
func (j *job) read(ctx context.Context) error {
	result, err := j.scan(ctx, j.streams)
	if err != nil {
		return inputError(err)
	}
	for _, w := range result.Warnings {
		j.display.Warning("%s", warningLine(w))
	}
	j.wanted = gather(result)
	if err := j.addByHand(); err != nil {
		return err
	}
	if len(j.wanted) == 0 {
		return cli.Errorf(cli.Failed, "no image found in %s", strings.Join(j.sources, ", ")).
			WithHint("\"bundle scan -f FILE --output wide\" shows what is found; images can also be named on the command line")
	}
	if j.store, err = j.accounts(j.streams, result); err != nil {
		return err
	}
	j.setAside()
	return nil
}

// inputError is what could not be read of the input, with its hint.
func inputError(err error) error {
	var told *cli.Error
	if errors.As(err, &told) {
		return told
	}
	e := &cli.Error{Code: cli.Failed, Err: err}
	var syntax *scan.SyntaxError
	if errors.As(err, &syntax) {
		e.Hint = "mend the file, or render it first if it is a template; nothing was pulled"
	}
	return e
}

// addByHand adds the images of the command line.
func (j *job) addByHand() error {
	for _, text := range j.images {
		name, err := byHand(text)
		if err != nil {
			return err
		}
		found := false
		for _, w := range j.wanted {
			if w.name == name {
				w.required, w.windows, w.internal, found = true, false, false, true
			}
		}
		if !found {
			j.wanted = append(j.wanted, &wanted{name: name, required: true})
		}
	}
	return nil
}

// setAside takes out what no connected host can pull: images of registries inside of a
// cluster, and Windows images when no Windows platform is asked for.
func (j *job) setAside() {
	windows := j.all
	for _, p := range j.platforms {
		windows = windows || p.OS == "windows"
	}
	var keep []*wanted
	for _, w := range j.wanted {
		switch {
		case w.internal:
			j.leave(w.name, "its registry exists only inside of a cluster")
		case w.windows && !windows:
			j.leave(w.name, "only pods for Windows use it")
		default:
			keep = append(keep, w)
		}
	}
	j.wanted = keep
}

// leave records an image that will not be in the bundle. It is told, listed in the
// summary, and written into the bundle: it never vanishes.
func (j *job) leave(name, reason string) {
	j.skipped = append(j.skipped, archive.Skipped{Name: name, Reason: reason})
	j.display.Warning("%s is left out: %s", name, reason)
}

// make resolves, plans, fetches and finishes.
func (j *job) make(ctx context.Context) (err error) {
	if j.strict && len(j.skipped) > 0 {
		return cli.Errorf(cli.Incomplete, "%s cannot be had, and --strict is given", cli.Count(len(j.skipped), "image"))
	}
	if j.out != "-" && j.out != "" { // a dry run may go without
		if j.draft, err = archive.OpenDraft(j.out); err != nil {
			return err
		}
		defer func() {
			if j.draft != nil { // another one may take its place
				err = errors.Join(err, j.draft.Close())
			}
		}()
	}
	if j.older, err = openOlder(ctx, j.out, slices.Concat(j.reuse, j.since)); err != nil {
		return err
	}
	defer j.older.close()
	j.docs = newDocuments(j.draft, j.older)
	j.pins = newPins(j.settings, j.docs, j.wanted)
	if j.client, err = j.newClient(j.pins); err != nil {
		return err
	}
	plan, err := j.plan(ctx)
	if errors.Is(err, errDryRun) {
		return nil
	}
	if err == nil {
		plan, err = j.write(ctx, plan)
	}
	if err != nil {
		return err
	}
	return errors.Join(j.results(plan), j.failed)
}

// write makes the bundle, and gives the plan that it was made by.
func (j *job) write(ctx context.Context, plan *archive.Plan) (*archive.Plan, error) {
	if j.draft == nil {
		if err := j.stream(ctx, plan); err != nil {
			failures, _, err := j.unfetched(plan.Images(), err)
			return nil, errors.Join(err, causes(failures)) // what has gone out cannot be planned anew
		}
	}
	for j.draft != nil {
		if j.older.same(plan) {
			j.display.Message("%s is up to date: %s", j.out, j.summary(plan))
			return plan, j.draft.Discard() // what a killed run left is of no use any more
		}
		err := j.fill(ctx, plan)
		if err == nil {
			break
		}
		if plan, err = j.without(plan, err); err != nil {
			return nil, err
		}
	}
	j.display.Message("wrote %s: %s", j.outName(), j.summary(plan))
	return plan, nil
}

// errDryRun ends a dry run before the first request that counts.
var errDryRun = errors.New("dry run")

func (j *job) newClient(docs pull.Documents) (*pull.Client, error) {
	opts := j.options(j.store, j.display)
	opts.Platforms, opts.All, opts.Referrers = j.platforms, j.all, j.referrers
	opts.Documents, opts.Before, opts.OnBytes = docs, j.before, j.display.Add
	return pull.New(opts)
}

func (j *job) outName() string {
	if j.out == "-" {
		return "standard output"
	}
	return j.out
}

// summary is the last line a person reads.
func (j *job) summary(plan *archive.Plan) string {
	st := j.client.Stats()
	s := fmt.Sprintf("%s, %s, %s; %s that count", cli.Count(len(plan.Images()), "name"), cli.Bytes(plan.Size()), plan.Digest(), cli.Count(int(st.ManifestGET), "pull"))
	if len(j.skipped) > 0 {
		s += fmt.Sprintf("; %s left out, see above", cli.Count(len(j.skipped), "image"))
	}
	return s
}

// results prints what is in the bundle, one name a line with its digest: on standard
// output, or as messages when the bundle itself goes there.
func (j *job) results(plan *archive.Plan) error {
	for _, img := range plan.Images() {
		line := img.Name
		if !strings.Contains(line, "@") {
			line += "@" + img.Target.Digest.String()
		}
		if j.out == "-" {
			j.display.Message("%s", line)
		} else if _, err := fmt.Fprintln(j.streams.Out, line); err != nil {
			return err
		}
	}
	return nil
}
