package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/pkg/scan"
)

// input is what several jobs have in common: where references come from.
type input struct {
	sources   []string
	recursive bool
	only      string
	include   []string
	exclude   []string
}

func (in *input) flags(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&in.sources, "filename", "f", nil, "")
	fs.BoolVarP(&in.recursive, "recursive", "R", false, "")
	fs.StringVar(&in.only, "only", "", "")
	fs.StringArrayVar(&in.include, "include", nil, "")
	fs.StringArrayVar(&in.exclude, "exclude", nil, "")
}

func (in *input) check() error {
	if in.only != "" && in.only != string(scan.Required) {
		return usagef("--only %q: want required", in.only)
	}
	return nil
}

// scan reads every source. The error holds what could not be read, with its place; the
// result has everything else.
func (in *input) scan(ctx context.Context, streams cli.Streams) (*scan.Result, error) {
	opts := scan.Options{Only: scan.Class(in.only), Include: in.include, Exclude: in.exclude}
	scanner := scan.New(opts)
	list, err := sources(in.sources, in.recursive, streams.In)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, src := range list {
		if err := scanOne(ctx, scanner, src); err != nil {
			errs = append(errs, err)
		}
	}
	return scanner.Result(), errors.Join(errs...)
}

func scanOne(ctx context.Context, scanner *scan.Scanner, src source) error {
	r, err := src.open(ctx)
	if err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	defer r.Close() // only read from
	return scanner.Scan(src.name, r)
}

// wanted is an image to bundle.
type wanted struct {
	name     string
	required bool
	secrets  []string // pull secrets that apply, "namespace/name"
	windows  bool     // only pods for Windows use it
	internal bool     // its registry exists only inside of a cluster
}

// gather makes one of all places that name an image, in the order of first appearance.
func gather(result *scan.Result) []*wanted {
	var out []*wanted
	for _, img := range result.Images() {
		w := &wanted{name: img.Name, required: img.Class == scan.Required, windows: img.OS == "windows", internal: img.ClusterInternal}
		for _, ref := range img.References {
			for _, s := range ref.PullSecrets {
				if !slices.Contains(w.secrets, s) {
					w.secrets = append(w.secrets, s)
				}
			}
		}
		out = append(out, w)
	}
	return out
}

// byHand normalises an image of the command line as containerd does.
func byHand(text string) (string, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return "", usagef("image %q: %w", text, err)
	}
	return reference.TagNameOnly(named).String(), nil
}
