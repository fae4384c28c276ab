package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
	"stowage/pkg/pull"
)

// before tells what the pull will cost, while it has cost nothing yet.
func (j *job) before(e pull.Estimate) error {
	for _, line := range estimateLines(e) {
		j.display.Message("%s", line)
	}
	if j.maxPulls >= 0 && e.Pulls > j.maxPulls {
		return cli.Errorf(cli.RateLimited, "%s needed, more than --max-pulls %d allows; none was made", cli.Count(e.Pulls, "pull"), j.maxPulls)
	}
	if j.dryRun {
		return errDryRun
	}
	return nil
}

// estimateLines says for each registry and account what is needed and what is left.
func estimateLines(e pull.Estimate) []string {
	first := fmt.Sprintf("%s, %d of them held already; pulls that count against a limit: %d", cli.Count(e.Images, "image"), e.Held, e.Pulls)
	if e.Bytes > 0 {
		first += fmt.Sprintf("; layers known so far: %s", cli.Bytes(e.Bytes))
	}
	lines := []string{first}
	for _, n := range e.Needs {
		who := "anonymous"
		if n.Account != "" {
			who = "the account from " + n.Account
		}
		left := "no limit known"
		if n.Quota.Known {
			left = fmt.Sprintf("%d of %d left in %s", n.Quota.Remaining, n.Quota.Limit, n.Quota.Window)
		}
		lines = append(lines, fmt.Sprintf("%s needs %s by %s: %s", n.Host, cli.Count(n.Pulls, "pull"), who, left))
	}
	return lines
}

// plan resolves every name and lays the bundle out.
func (j *job) plan(ctx context.Context) (*archive.Plan, error) {
	var err error
	if j.layout.Omit, j.layout.Base, err = j.omitted(ctx); err != nil { // before anything is pulled in vain
		return nil, err
	}
	refs := references(j.wanted)
	j.display.Message("resolving %s for %s", cli.Count(len(refs), "image"), j.platformNames())
	resolved, failures, err := j.resolve(ctx, refs)
	if errors.Is(err, errDryRun) { // what is missing is a part of what it says
		return nil, cmp.Or(j.judge(failures), err)
	}
	if err != nil {
		return nil, err
	}
	images, err := named(resolved)
	if err != nil {
		return nil, err
	}
	if err := j.judge(failures); err != nil {
		if limit := (*pull.RateLimitError)(nil); errors.As(err, &limit) && len(images) > 0 {
			j.salvage(ctx, images)
		}
		return nil, err
	}
	if j.flat {
		j.resolved = resolved
	}
	return j.lay(images)
}

// named gives each resolved image the names under which a node looks for it.
func named(resolved []pull.Resolved) ([]archive.Image, error) {
	var images []archive.Image
	for _, r := range resolved {
		referrers := slices.Clone(r.Referrers)
		for i, d := range referrers {
			// The tag of a signature is no name: nothing on a node may take it for an image.
			if tag := d.Annotations[ocispec.AnnotationRefName]; tag != "" {
				referrers[i].Annotations = map[string]string{archive.AnnotationTag: tag}
			}
		}
		names, err := archive.Names(r.Name)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			images = append(images, archive.Image{Name: name, Target: r.Target, Present: r.Present, Referrers: referrers})
		}
	}
	return images, nil
}

// salvage fetches the blobs of what did resolve when a pull limit ends the job: they cost
// no pulls, and the next run has that much less to do. The limit stays the error to tell.
func (j *job) salvage(ctx context.Context, images []archive.Image) {
	if j.draft == nil {
		return
	}
	plan, err := archive.NewPlan(images, j.docs, archive.PlanOptions{})
	if err == nil {
		err = j.fetch(ctx, plan)
	}
	if err != nil && ctx.Err() == nil {
		j.display.Warning("the blobs of the other images could not all be fetched: %v", err)
		return
	}
	j.display.Message("%d of %d images are fetched and kept beside %s", len(images), len(j.wanted), j.out)
}

// judge decides what a failure means: an image that only an argument or a ConfigMap names
// and that the registry does not have may be stale, and is left out. All else ends the job.
func (j *job) judge(failures []pull.Failure) error {
	required := map[string]bool{}
	for _, w := range j.wanted {
		required[w.name] = w.required
	}
	var errs []error
	for _, f := range failures {
		if !required[f.Name] && !j.strict && onlyMissing(f.Err) {
			j.leave(f.Name, f.Err.Error())
			continue
		}
		if j.keepGoing && onlyHidden(f.Err) {
			j.leave(f.Name, leftReason(f.Err))
			j.failed = cli.Errorf(cli.Incomplete, "the bundle is incomplete: images that are needed are left out, see above")
			continue
		}
		errs = append(errs, f.Err)
	}
	return errors.Join(errs...)
}

// leftReason says why an image is left out. The word of a registry that refuses alone would
// send people to look for what is wrong with their account.
func leftReason(err error) string {
	if onlyMissing(err) {
		return err.Error()
	}
	return "it is not there, or not for this account, which got others: " + err.Error()
}

// failed makes one error of failures.
func failed(failures []pull.Failure) error {
	if len(failures) == 0 {
		return nil
	}
	return outcome(causes(failures))
}

// causes joins the errors of failures.
func causes(failures []pull.Failure) error {
	errs := make([]error, len(failures))
	for i, f := range failures {
		errs[i] = f.Err
	}
	return errors.Join(errs...)
}

func (j *job) platformNames() string {
	if j.all {
		return "all platforms"
	}
	names := make([]string, len(j.platforms))
	for i, p := range j.platforms {
		names[i] = strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
	}
	return strings.Join(names, ", ")
}
