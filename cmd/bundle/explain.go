package main

import (
	"context"
	"fmt"
	"strings"

	"stowage/pkg/pull"
)

// explainAuth prints for each image which account would be used and why.
func (j *job) explainAuth(ctx context.Context) error {
	for _, w := range j.wanted {
		repos, err := pull.Repositories(w.name, j.mirrors)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(j.streams.Out, w.name); err != nil {
			return err
		}
		for _, repo := range repos {
			fmt.Fprintf(j.streams.Out, "  at %s\n", repo)
			for _, e := range j.store.Explain(ctx, repo, w.secrets) {
				fmt.Fprintf(j.streams.Out, "    %s\n", e)
			}
		}
	}
	return nil
}

// repositoryOf cuts tag and digest off a normalised name.
func repositoryOf(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	return name
}
