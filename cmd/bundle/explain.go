package main

import (
	"context"
	"fmt"
	"strings"
)

// explainAuth prints for each image which account would be used and why.
func (j *job) explainAuth(ctx context.Context) error {
	for _, w := range j.wanted {
		repo := repositoryOf(w.name)
		if _, err := fmt.Fprintln(j.streams.Out, w.name); err != nil {
			return err
		}
		for _, asked := range j.asked(repo) {
			fmt.Fprintf(j.streams.Out, "  at %s\n", asked)
			for _, e := range j.store.Explain(ctx, asked, w.secrets) {
				fmt.Fprintf(j.streams.Out, "    %s\n", e)
			}
		}
	}
	return nil
}

// asked lists the repositories that are asked for repo: at the mirrors first.
func (j *job) asked(repo string) []string {
	host, path, _ := strings.Cut(repo, "/")
	var out []string
	mirrors, ok := j.mirrors[host]
	if !ok {
		mirrors = j.mirrors["*"]
	}
	for _, m := range mirrors {
		out = append(out, m.Repository(path))
		if m.Last {
			return out
		}
	}
	return append(out, repo)
}

// repositoryOf cuts tag and digest off a normalised name.
func repositoryOf(name string) string {
	name, _, _ = strings.Cut(name, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	return name
}
