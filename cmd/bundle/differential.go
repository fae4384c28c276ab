package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/cli"
)

// checkSince refuses to replace the bundle that the new one builds on. Nobody could load
// the new one any more who has not loaded the old one, and the same command again would
// build on the new one, and leave everything out.
func (s *settings) checkSince() error {
	out, err := os.Stat(s.out)
	if err != nil {
		return nil // no file yet, or standard output
	}
	for _, path := range s.since {
		if old, err := os.Stat(path); err == nil && os.SameFile(old, out) {
			return usagef("--since %s: the output is the same file; give the new bundle a name of its own", path)
		}
	}
	return nil
}

// omitted says which layers a differential bundle leaves out, nil for a whole bundle, and
// the bundle it builds on when that is a single one.
func (j *job) omitted(ctx context.Context) (omit func(digest.Digest) bool, base digest.Digest, err error) {
	if len(j.since)+len(j.have) == 0 {
		return nil, "", nil
	}
	held := map[digest.Digest]bool{}
	for _, path := range j.since {
		r, err := openHead(ctx, path)
		if err != nil {
			return nil, "", fmt.Errorf("--since: %w", err)
		}
		for _, b := range r.Blobs() {
			held[b.Digest] = true
		}
		for _, d := range r.Omitted() { // who has the older one has these too
			held[d.Digest] = true
		}
		base = r.Digest()
		r.Close() // only read from
	}
	for _, path := range j.have {
		if err := readDigests(path, held); err != nil {
			return nil, "", cli.Errorf(cli.Failed, "--have: %w", err)
		}
	}
	if len(j.since) != 1 || len(j.have) > 0 {
		base = ""
	}
	return func(d digest.Digest) bool { return held[d] }, base, nil
}

// readDigests adds a list of digests, one a line; blank lines and # comments are passed over.
func readDigests(path string, held map[digest.Digest]bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() // only read from
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		d, err := digest.Parse(text)
		if err != nil {
			return fmt.Errorf("%s:%d: %q: %w", path, n, text, err)
		}
		held[d] = true
	}
	return lines.Err()
}
