package main

import (
	"context"
	"errors"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/archive"
	"stowage/pkg/bundle"
	"stowage/pkg/pull"
	"stowage/pkg/scan"
)

// printLock prints a lock file: "name:tag@digest" for each image. Tags are resolved by HEAD,
// which costs no pulls. An image that a bundle would skip is a comment; any other that is not
// available is an error, and nothing is printed: a lock file is complete.
func (r *registries) printLock(ctx context.Context, streams cli.Streams, result *scan.Result) error {
	display, err := progress.New(streams.Err, "bundle", progress.Plain)
	if err != nil {
		return err
	}
	opts, _, err := r.client(streams, display, result)
	if err != nil {
		return err
	}
	opts.All = true // a digest names all platforms
	client, err := pull.New(opts)
	if err != nil {
		return err
	}
	request := bundle.Request{Images: gather(result), All: true}
	images, skipped, err := request.Select()
	if err != nil {
		return outcome(err)
	}
	required := map[string]bool{}
	queries := make([]pull.Query, len(images))
	for i, img := range images {
		required[img.Name] = img.Required
		queries[i] = pull.Query{Name: img.Name, Secrets: img.Secrets}
	}
	pinned, failures, err := client.Digests(ctx, queries)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range failures {
		if required[f.Name] || !bundle.IsMissing(f.Err) {
			errs = append(errs, f.Err)
			continue
		}
		skipped = append(skipped, archive.Skipped{Name: f.Name, Reason: f.Err.Error()})
	}
	if len(errs) > 0 {
		return outcome(errors.Join(errs...))
	}
	for _, s := range skipped {
		display.Warning("%s is left out: %s", s.Name, s.Reason)
		result.LeftOut = append(result.LeftOut, scan.LeftOut{Name: s.Name, Reason: s.Reason})
	}
	for _, line := range lockFile(result, pinned) {
		if err := cli.Fprintf(streams.Out, "%s\n", line); err != nil {
			return err
		}
	}
	return nil
}

// lockFile returns the lines of a lock file.
func lockFile(result *scan.Result, pinned []pull.Lock) []string {
	notes := map[string]string{}
	for _, img := range result.Images() {
		notes[img.Name] = scan.LockNote(img)
	}
	lines := []string{scan.LockHeader}
	for _, p := range pinned {
		lines = append(lines, withDigest(p.Name, p.Digest)+notes[p.Name])
	}
	for _, l := range result.LeftOut {
		lines = append(lines, l.String())
	}
	return lines
}

// withDigest adds a digest to a name that has none.
func withDigest(name string, d digest.Digest) string {
	if strings.Contains(name, "@") {
		return name
	}
	return name + "@" + d.String()
}
