package main

import (
	"context"
	"slices"

	"stowage/cmd/internal/cli"
	"stowage/pkg/pull"
	"stowage/pkg/pull/account"
)

// explainAuth prints which account would be used for each image and why.
func (j *job) explainAuth(ctx context.Context, store *account.Store) error {
	images, skipped, err := j.request.Select()
	if err != nil {
		return outcome(err)
	}
	for _, s := range skipped {
		j.display.Warning("%s is skipped: %s", s.Name, s.Reason)
	}
	var absent []string // sources that no image has an account from, each once
	for _, img := range images {
		repos, err := pull.Repositories(img.Name, j.pull.Mirrors)
		if err != nil {
			return err
		}
		if err := cli.Fprintf(j.streams.Out, "%s\n", img.Name); err != nil {
			return err
		}
		for _, repo := range repos {
			cli.Fprintf(j.streams.Out, "  at %s\n", repo)
			for _, e := range store.Explain(ctx, repo, img.Secrets) {
				switch line := e.Source + ": " + e.Why; {
				case e.Verdict != account.Absent:
					cli.Fprintf(j.streams.Out, "    %s\n", e)
				case !slices.Contains(absent, line):
					absent = append(absent, line)
				}
			}
		}
	}
	for _, source := range absent {
		cli.Fprintf(j.streams.Out, "absent: %s\n", source)
	}
	return nil
}
