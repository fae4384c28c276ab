package main

import (
	"context"
	"errors"
	"time"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/document"
	"stowage/cmd/internal/progress"
	"stowage/pkg/bundle"
	"stowage/pkg/pull"
)

// made returns what the summary says, for the last event of the run.
func (j *job) made(r *bundle.Result) progress.Result {
	if r == nil {
		return progress.Result{}
	}
	if r.Digest == "" || j.file == nil {
		return progress.Result{Pulls: new(r.Stats.ManifestGET)}
	}
	out := progress.Result{
		Output:   j.request.Output,
		Identity: r.Digest.String(),
		Size:     new(r.Size),
		FileSize: new(j.file.size),
		SHA256:   j.file.sha256,
		Images:   new(r.Requested - r.Missing),
		Skipped:  new(len(r.Skipped)),
		Pulls:    new(r.Stats.ManifestGET),
		Changed:  new(!r.UpToDate),
	}
	for _, img := range r.Images {
		out.Names = append(out.Names, img.Name)
	}
	return out
}

// ended returns err, and after a signal the error that says so.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return cli.Interrupted(interrupted)
	}
	return err
}

// faults returns what is known of each error that was joined.
func faults(err error) []document.Error {
	switch e := err.(type) {
	case nil:
		return nil
	case interface{ Unwrap() []error }:
		var all []document.Error
		for _, one := range e.Unwrap() {
			all = append(all, faults(one)...)
		}
		return all
	}
	if inner := errors.Unwrap(err); inner != nil && len(faults(inner)) > 1 {
		return faults(inner)
	}
	return []document.Error{fault(err)}
}

// fault returns what is known of an error.
func fault(err error) document.Error {
	f := document.Error{Message: err.Error()}
	var (
		auth     *pull.AuthError
		missing  *pull.NotFoundError
		rate     *pull.RateLimitError
		content  *pull.ContentError
		insecure *pull.InsecureError
		platform *pull.NoPlatformError
		old      *pull.UnsupportedError
	)
	switch {
	case errors.As(err, &auth):
		f.Image, f.Host, f.HTTPStatus = auth.Name, auth.Host, auth.Status
	case errors.As(err, &missing):
		f.Image, f.Host, f.HTTPStatus = missing.Name, missing.Host, missing.Status
	case errors.As(err, &rate):
		f.Image, f.Host, f.HTTPStatus = rate.Name, rate.Host, 429
		if !rate.Reset.IsZero() {
			f.RetryAt = rate.Reset.UTC().Format(time.RFC3339)
		}
	case errors.As(err, &content):
		f.Image, f.Host = content.Name, content.Host
	case errors.As(err, &insecure):
		f.Host = insecure.Host
	case errors.As(err, &platform):
		f.Image = platform.Name
	case errors.As(err, &old):
		f.Image = old.Name
	}
	return f
}
