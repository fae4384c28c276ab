package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"

	"stowage/cmd/internal/cli"
	"stowage/pkg/scan"
)

// checkLock returns the images of the manifests that the lock file does not cover, with an
// error if there is one. A name in the lock file that no manifest contains is only a warning:
// a bundle made from the lock file has an image too many, but none is missing.
func (j *scanJob) checkLock(ctx context.Context, streams cli.Streams, found *scan.Result) ([]scan.Uncovered, error) {
	lock, err := openLock(ctx, j.lock)
	if err != nil {
		return nil, err
	}
	uncovered, unused := scan.CheckLock(found, lock)
	for _, name := range unused {
		cli.Fprintf(streams.Err, "bundle: warning: %s: no manifest names %s\n", j.lock, name)
	}
	if len(uncovered) == 0 {
		return nil, nil
	}
	deeper := ""
	if j.recursive {
		deeper = " -R"
	}
	return uncovered, cli.Errorf(cli.Failed, "%s does not cover %s", j.lock, cli.Count(len(uncovered), "image")).
		WithHint("make it again: bundle scan --pin -f %s%s > %s", cli.Quote(strings.Join(j.sources, ",")), deeper, cli.Quote(j.lock))
}

// printUncovered prints a line for each image.
func printUncovered(w io.Writer, uncovered []scan.Uncovered) error {
	for _, u := range uncovered {
		if err := cli.Fprintf(w, "%s:%d:%d: %s: %s\n", u.File, u.Line, u.Column, u.Name, u.Reason); err != nil {
			return err
		}
	}
	return nil
}

// openLock reads a lock file and returns its images.
func openLock(ctx context.Context, path string) (*scan.Result, error) {
	f, err := openFile(ctx, path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, cli.Errorf(cli.Failed, "--check-lock %s: no such file", path).WithHint("make it: bundle scan --pin -f SRC > %s", cli.Quote(path))
	case err != nil:
		return nil, cli.Errorf(cli.Failed, "--check-lock: %w", err)
	}
	defer f.Close() // only read from
	text := bufio.NewReader(f)
	if head, _ := text.Peek(len(scan.LockHeader)); !bytes.Equal(head, []byte(scan.LockHeader)) {
		return nil, cli.Errorf(cli.Failed, "%s is not a lock file: its first line is not %q", path, scan.LockHeader).
			WithHint("make one: bundle scan --pin -f SRC > FILE")
	}
	scanner := scan.New(scan.Options{})
	if err := scanner.Scan(path, text); err != nil {
		return nil, cli.Errorf(cli.Failed, "read the lock file: %w", err)
	}
	return scanner.Result(), nil
}
