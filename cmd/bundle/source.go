package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"stowage/cmd/bundle/internal/render"
	"stowage/cmd/internal/cli"
	"stowage/internal/iox"
	"stowage/internal/redact"
	"stowage/pkg/scan"
)

// source is one place of manifests.
type source struct {
	name string      // for messages: a path, an address without its password, "-"
	kind render.Kind // of a directory that is rendered, and not opened
	open func(context.Context) (io.ReadCloser, error)
}

// sources expands the arguments of -f: files, directories, http(s) addresses and "-". The
// warnings name what a directory holds and was not read.
func sources(args []string, recursive bool, stdin io.Reader) ([]source, []scan.Warning, error) {
	var out []source
	var skipped []scan.Warning
	fromStdin := false
	for _, arg := range args {
		switch {
		case arg == "":
			return nil, nil, cli.Usagef("-f: empty name")
		case arg == "-":
			if fromStdin {
				return nil, nil, cli.Usagef("-f -: standard input can be read only once")
			}
			fromStdin = true
			out = append(out, source{name: "-", open: func(ctx context.Context) (io.ReadCloser, error) {
				return io.NopCloser(iox.Interruptible(ctx, stdin)), nil
			}})
		case strings.HasPrefix(arg, "http://") || strings.HasPrefix(arg, "https://"):
			u, err := url.Parse(arg)
			if err != nil {
				return nil, nil, cli.Usagef("-f: invalid address: %w", errors.Unwrap(err)) // without the address, which may contain a password
			}
			out = append(out, source{name: redact.Addresses(arg), open: func(ctx context.Context) (io.ReadCloser, error) { return get(ctx, u) }})
		default:
			files, passed, err := fileSources(arg, recursive)
			if err != nil {
				return nil, nil, err
			}
			out, skipped = append(out, files...), append(skipped, passed...)
		}
	}
	return out, skipped, nil
}

// fileSources returns a file, a directory to render, or the manifests of a directory as kubectl
// picks them: with -R, a kustomization is no more than its files.
func fileSources(path string, recursive bool) ([]source, []scan.Warning, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() { // opening it reports the error, beside those of other files
		return []source{fileSource(path)}, nil, nil
	}
	switch kind, err := render.KindOf(path); {
	case err != nil:
		return nil, nil, cli.Usagef("-f %w", err).WithHint("render it as one of them: \"helm template %[1]s | bundle -f -\" or \"kubectl kustomize %[1]s | bundle -f -\"", cli.Quote(path))
	case kind == render.Chart, kind == render.Kustomization && !recursive:
		return []source{{name: path, kind: kind}}, nil, nil
	}
	names, skipped, err := manifestFiles(path, recursive)
	if err != nil {
		return nil, nil, err
	}
	out := make([]source, len(names))
	for i, name := range names {
		out[i] = fileSource(name)
	}
	return out, skipped, nil
}

func fileSource(path string) source {
	return source{name: path, open: func(ctx context.Context) (io.ReadCloser, error) { return openFile(ctx, path) }}
}

// openFile opens a file that the user named, whatever it is: a shell's <(command) is a pipe.
// Waiting for a pipe, to open or to read it, ends with ctx.
func openFile(ctx context.Context, path string) (io.ReadCloser, error) {
	f, err := iox.Wait(ctx, func() (*os.File, error) { return os.Open(path) })
	if err != nil {
		return nil, err // after the end of ctx the file, if it is ever opened, is closed with the process
	}
	return struct {
		io.Reader
		io.Closer
	}{iox.Interruptible(ctx, f), f}, nil
}

// manifestFiles returns a directory's manifests in the order of their names, and a warning
// for each that is not read: a pipe or device, and a symbolic link to a file outside of the
// directory, whose lines the messages could quote and whose words could be taken for images.
func manifestFiles(dir string, recursive bool) ([]string, []scan.Warning, error) {
	var out []string
	var skipped []scan.Warning
	var charts []string
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, nil, cli.Errorf(cli.Failed, "read manifests: %w", err)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != dir && !recursive {
				return fs.SkipDir
			}
			if kind, err := render.KindOf(path); path != dir && (kind == render.Chart || err != nil) {
				charts = append(charts, path)
				return fs.SkipDir
			}
			return nil
		}
		if !slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
			return nil
		}
		switch why := unreadable(path, root, d); why {
		case "":
			out = append(out, path)
		default:
			skipped = append(skipped, scan.Warning{
				Code: scan.CodeSkippedFile, Position: scan.Position{File: path}, Message: "not read: it is " + why, Advice: "name it with -f if its images are needed",
			})
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, nil, cli.Errorf(cli.Failed, "read manifests: %w", err)
	case len(charts) > 0:
		return nil, nil, cli.Errorf(cli.Failed, "read manifests: %s: is a chart, whose templates are no manifests", charts[0]).
			WithHint("name each chart and each directory of manifests with -f of its own, as in -f %s", cli.Quote(charts[0]))
	case len(out) == 0 && len(skipped) > 0:
		return nil, nil, cli.Errorf(cli.Failed, "read manifests: %s: %s", skipped[0].File, skipped[0].Message).WithHint("%s", skipped[0].Advice)
	case len(out) == 0:
		return nil, nil, cli.Errorf(cli.Failed, "read manifests: %s: contains no .yaml, .yml or .json file", dir).
			WithHint("name the files, or read the directories below it with -R")
	}
	return out, skipped, nil
}

// unreadable says why a file of the directory root, without symbolic links in its own path,
// is not read; "" for one that is.
func unreadable(path, root string, d fs.DirEntry) string {
	mode := d.Type()
	if mode&fs.ModeSymlink != 0 {
		target, err := filepath.EvalSymlinks(path)
		if err != nil {
			return "" // opening it reports the error
		}
		if below, err := filepath.Rel(root, target); err != nil || !filepath.IsLocal(below) {
			return "a symbolic link out of the directory"
		}
		info, err := os.Stat(target)
		if err != nil {
			return ""
		}
		mode = info.Mode().Type()
	}
	if mode != 0 {
		return "not a regular file"
	}
	return ""
}
