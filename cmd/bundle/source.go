package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"stowage/cmd/internal/cli"
	"stowage/internal/iox"
)

// Limits on a manifest that comes from the network.
const (
	urlTimeout = 2 * time.Minute
	urlLimit   = 64 << 20 // bytes
)

// source is one place of manifests.
type source struct {
	name string // for messages: a path, an address without its password, "-"
	open func(context.Context) (io.ReadCloser, error)
}

// sources expands the arguments of -f: files, directories, http(s) addresses and "-".
func sources(args []string, recursive bool, stdin io.Reader) ([]source, error) {
	var out []source
	fromStdin := false
	for _, arg := range args {
		switch {
		case arg == "":
			return nil, cli.Usagef("-f: empty name")
		case arg == "-":
			if fromStdin {
				return nil, cli.Usagef("-f -: standard input can be read only once")
			}
			fromStdin = true
			out = append(out, source{name: "-", open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(stdin), nil }})
		case strings.HasPrefix(arg, "http://") || strings.HasPrefix(arg, "https://"):
			u, err := url.Parse(arg)
			if err != nil {
				return nil, cli.Usagef("-f: invalid address: %w", errors.Unwrap(err)) // without the address, which may contain a password
			}
			out = append(out, source{name: u.Redacted(), open: func(ctx context.Context) (io.ReadCloser, error) { return get(ctx, u) }})
		default:
			files, err := fileSources(arg, recursive)
			if err != nil {
				return nil, err
			}
			out = append(out, files...)
		}
	}
	return out, nil
}

// fileSources returns a file, or the manifests of a directory as kubectl picks them.
func fileSources(path string, recursive bool) ([]source, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() { // opening it reports the error, beside those of other files
		return []source{fileSource(path)}, nil
	}
	names, err := manifestFiles(path, recursive)
	if err != nil {
		return nil, err
	}
	out := make([]source, len(names))
	for i, name := range names {
		out[i] = fileSource(name)
	}
	return out, nil
}

func fileSource(path string) source {
	return source{name: path, open: func(context.Context) (io.ReadCloser, error) { return os.Open(path) }}
}

// manifestFiles returns a directory's manifests in the order of their names.
func manifestFiles(dir string, recursive bool) ([]string, error) {
	var out []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if path != dir && !recursive {
				return fs.SkipDir
			}
			return nil
		}
		if slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)) {
			out = append(out, path)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, cli.Errorf(cli.Failed, "read manifests: %w", err)
	case len(out) == 0:
		return nil, cli.Errorf(cli.Failed, "read manifests: %s: contains no .yaml, .yml or .json file", dir).
			WithHint("name the files, or read the directories below it with -R")
	}
	return out, nil
}

// get fetches a manifest from an address.
func get(ctx context.Context, u *url.URL) (io.ReadCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, urlTimeout)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Header.Set("User-Agent", "stowage/"+cli.VersionString())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		cancel()
		return nil, err // net/http removes the password from the address in its error
	}
	tooLarge := fmt.Errorf("larger than the limit of %d MiB for a manifest from the network", urlLimit>>20)
	body := &response{iox.Limit(resp.Body, urlLimit, tooLarge), resp.Body, cancel}
	if resp.StatusCode != http.StatusOK {
		body.Close()
		return nil, fmt.Errorf("get %s: %s", u.Redacted(), resp.Status)
	}
	return body, nil
}

// response is a body with a limit, whose Close ends the request.
type response struct {
	io.Reader
	body   io.Closer
	cancel context.CancelFunc
}

func (r *response) Close() error {
	defer r.cancel()
	return r.body.Close()
}
