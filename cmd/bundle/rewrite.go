package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/distribution/reference"

	"stowage/cmd/internal/cli"
	"stowage/internal/fsutil"
	"stowage/internal/iox"
	"stowage/pkg/scan"
)

// runRewrite prepares manifests for a cluster without a registry.
func runRewrite(ctx context.Context, args []string, streams cli.Streams) error {
	var from []string
	var to, lock string
	var recursive bool
	fs := cli.NewFlags("bundle rewrite", rewriteHelp, streams)
	fs.Guesses = guesses
	fs.StringArrayVarP(&from, "filename", "f", nil, "")
	fs.BoolVarP(&recursive, "recursive", "R", false, "")
	fs.StringVarP(&to, "output", "o", "", "")
	fs.StringVar(&lock, "pin", "", "")
	if err := fs.Parse(args); err != nil {
		return err
	}
	from, err := expand(append(from, fs.Args()...))
	switch {
	case err != nil:
		return err
	case len(from) != 1:
		return cli.Usagef("bundle rewrite: name one file or directory with -f, got %d", len(from))
	case to == "":
		return cli.Usagef("bundle rewrite: name the result with -o, or -o - for standard output").
			WithHint("try \"bundle rewrite %s -o %s\"", cli.Quote(args...), cli.Quote(resultName(from[0])))
	}
	opts := scan.RewriteOptions{PullPolicy: true}
	if lock != "" {
		locked, err := readLock(lock)
		if err != nil {
			return cli.Errorf(cli.Failed, "--pin: %w", err)
		}
		opts.Digests = locked
	}
	pairs, skipped, err := rewritePairs(from[0], to, recursive)
	if err != nil {
		return err
	}
	for _, line := range warningLines(skipped) {
		cli.Fprintf(streams.Err, "bundle: warning: %s\n", line)
	}
	var errs []error
	for _, p := range pairs {
		if err := rewriteFile(ctx, p, opts, streams); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return inputError(errors.Join(errs...))
	}
	return nil
}

// resultName returns a name for the result of rewriting from.
func resultName(from string) string {
	if from == "-" {
		return "-"
	}
	ext := filepath.Ext(from)
	return strings.TrimSuffix(from, ext) + "-gap" + ext
}

// pair is a file to read and one to write; "-" is a standard stream.
type pair struct{ from, to string }

// rewritePairs maps a directory's manifests to the same names below the output. The
// warnings name the files that are not read.
func rewritePairs(from, to string, recursive bool) ([]pair, []scan.Warning, error) {
	if from == "-" {
		return []pair{{from, to}}, nil, nil
	}
	info, err := os.Stat(from)
	if err != nil {
		return nil, nil, cli.Errorf(cli.Failed, "read manifests: %w", err)
	}
	if !info.IsDir() {
		if out, err := os.Stat(to); to != "-" && err == nil && out.IsDir() {
			return nil, nil, cli.Usagef("-o %s: is a directory, but -f is a file", to)
		}
		return []pair{{from, to}}, nil, nil
	}
	if to == "-" {
		return nil, nil, cli.Usagef("-o -: -f is a directory, so -o must be one")
	}
	names, skipped, err := manifestFiles(from, recursive)
	if err != nil {
		return nil, nil, err
	}
	pairs := make([]pair, len(names))
	for i, name := range names {
		rel, err := filepath.Rel(from, name)
		if err != nil {
			return nil, nil, cli.Errorf(cli.Failed, "read manifests: %w", err)
		}
		pairs[i] = pair{name, filepath.Join(to, rel)}
	}
	return pairs, skipped, nil
}

// rewriteFile writes one result, completely or not at all.
func rewriteFile(ctx context.Context, p pair, opts scan.RewriteOptions, streams cli.Streams) error {
	src, err := readAll(ctx, p.from, streams.In)
	if err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	opts.File = p.from
	out, edits, err := scan.Rewrite(src, opts)
	if err != nil {
		return err
	}
	done := 0
	for _, e := range edits {
		if e.Skipped == "" {
			done++
			continue
		}
		cli.Fprintf(streams.Err, "bundle: warning: %s:%d:%d: %s is unchanged: %s\n", e.File, e.Line, e.Column, e.Old, e.Skipped)
	}
	if p.to == "-" {
		_, err := streams.Out.Write(out)
		return err
	}
	if err := writeWhole(p, out); err != nil {
		return fmt.Errorf("write %s: %w", p.to, err)
	}
	cli.Fprintf(streams.Err, "bundle: %s: %s\n", p.to, cli.Count(done, "change"))
	return nil
}

func readAll(ctx context.Context, name string, stdin io.Reader) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(iox.Interruptible(ctx, stdin))
	}
	f, err := openFile(ctx, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read from
	return io.ReadAll(f)
}

// writeWhole creates the directories of the pair's output and writes b to it, complete or
// not at all. A new file has the mode of the input, which may hold Secrets.
func writeWhole(p pair, b []byte) error {
	to, err := fsutil.ResolveOutput(p.to)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	var opts fsutil.ReplaceOptions
	if info, err := os.Stat(p.from); err == nil && info.Mode().IsRegular() {
		opts.Mode = info.Mode()
	}
	return fsutil.Replace(to, opts, func(f *os.File) error {
		_, err := f.Write(b)
		return err
	})
}

// readLock reads "name:tag@sha256:…" lines into a map from name to digest. It skips lines with
// a digest and no tag, which have nothing to rewrite.
func readLock(path string) (map[string]string, error) {
	locked := map[string]string{}
	err := cli.ReadList(path, func(text string) error {
		named, err := reference.ParseNormalizedNamed(text)
		if err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
		digested, ok := named.(reference.Digested)
		if !ok {
			return fmt.Errorf("%q has no digest", text)
		}
		tagged, ok := named.(reference.Tagged)
		if !ok {
			return nil
		}
		name := reference.TrimNamed(named).Name() + ":" + tagged.Tag()
		if old, known := locked[name]; known && old != digested.Digest().String() {
			return fmt.Errorf("%s has two digests in this list", name)
		}
		locked[name] = digested.Digest().String()
		return nil
	})
	return locked, err
}
