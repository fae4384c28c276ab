package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"stowage/cmd/bundle/internal/report"
	"stowage/cmd/internal/cli"
	"stowage/internal/fsutil"
	"stowage/pkg/archive"
	"stowage/pkg/bundle"
	"stowage/pkg/pull"
	"stowage/pkg/scan"
)

// summary collects what the file of --summary says about a run. A nil summary collects
// nothing.
type summary struct {
	run report.Run
	old *archive.Reader // the bundle that the new one is compared with, or nil
}

// newSummary returns the summary of a run. It opens the older bundle, which the run may
// replace: the one of --since or else the previous output.
func newSummary(ctx context.Context, j *job) *summary {
	path := j.request.Output
	s := &summary{run: report.Run{File: path, Places: map[string]report.Places{}}}
	if n := len(j.request.Since); n > 0 {
		path, s.run.Old = j.request.Since[n-1], j.request.Since[n-1]
	}
	if r, err := archive.Open(ctx, path, &archive.OpenOptions{Metadata: true}); err == nil {
		s.old = r // any other error is one of the run, or the output is no bundle
	}
	j.display.OnWarning(func(text string) { s.run.Warnings = append(s.run.Warnings, text) })
	return s
}

// found notes where the images are named.
func (s *summary) found(r *scan.Result) {
	if s == nil {
		return
	}
	for _, ref := range r.References {
		p, known := s.run.Places[ref.Name]
		if known {
			p.More++
		} else {
			p.First = fmt.Sprintf("%s:%d", ref.File, ref.Line)
		}
		s.run.Places[ref.Name] = p
	}
}

// limits notes what the registries said about their limits.
func (s *summary) limits(quotas []pull.Quota) {
	if s == nil {
		return
	}
	s.run.Limits = nil
	for _, q := range quotas {
		l := report.Limit{Host: q.Host, Account: q.Account, Left: q.Remaining, Max: q.Limit}
		if q.Window > 0 {
			l.Window = hours(q.Window)
		}
		s.run.Limits = append(s.run.Limits, l)
	}
}

// write writes the file of a run that ended with err.
func (s *summary) write(ctx context.Context, j *job, r *bundle.Result, err error) error {
	if s == nil {
		return nil
	}
	if s.old != nil {
		defer s.old.Close() // only read from
	}
	s.run.Errors = nil
	if err != nil {
		s.run.Errors = cli.Lines(err)
		var known *cli.Error
		if errors.As(err, &known) && known.Hint != "" {
			s.run.Errors = append(s.run.Errors, "hint: "+known.Hint)
		}
	}
	if r != nil {
		s.limits(r.Quotas)
		s.run.Pulls, s.run.UpToDate = &r.Stats.ManifestGET, r.UpToDate
	}
	if r != nil && r.Digest != "" && j.file != nil {
		if err := s.contents(ctx, j); err != nil {
			return err
		}
	}
	if err := writeFile(j.summaryFile, func(f *os.File) error { return report.Markdown(f, s.run) }); err != nil {
		return cli.Errorf(cli.Failed, "write the summary: %w", err)
	}
	return nil
}

// writeFile replaces a file as a whole. A pipe or a device, such as /dev/stderr, is written to.
func writeFile(path string, write func(*os.File) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() && !info.IsDir() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(write(f), f.Close())
	}
	if path, err = fsutil.ResolveOutput(path); err != nil {
		return err
	}
	return fsutil.Replace(path, fsutil.ReplaceOptions{}, write)
}

// contents describes the bundle that was written, and what changed from the older one.
func (s *summary) contents(ctx context.Context, j *job) error {
	s.run.FileSize, s.run.SHA256 = j.file.size, j.file.sha256
	r, err := open(ctx, j.request.Output)
	if err != nil {
		return err
	}
	defer r.Close() // only read from
	if s.run.Contents, err = r.Inspect(); err != nil {
		return outcome(err)
	}
	if s.old != nil {
		s.run.Changes = archive.Compare(s.old, r)
	}
	return nil
}
