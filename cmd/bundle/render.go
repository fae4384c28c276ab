package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"stowage/cmd/bundle/internal/render"
	"stowage/cmd/internal/cli"
	"stowage/pkg/scan"
)

// render renders a chart or a kustomization and scans the result, and the lists of images that
// the chart has. The warnings name the images that only one of both has.
func (in *input) render(ctx context.Context, scanner *scan.Scanner, src source) ([]scan.Warning, error) {
	out, err := render.Render(ctx, src.name, src.kind, &in.chart)
	if err != nil {
		return nil, renderError(src, err)
	}
	in.notes = append(in.notes, fmt.Sprintf("rendered %s with %s", src.name, out.Program))
	for _, line := range out.Notes {
		in.notes = append(in.notes, fmt.Sprintf("%s: %s", src.name, line))
	}
	var errs []error
	for _, f := range out.Files {
		errs = append(errs, scanner.Scan(f.Name, bytes.NewReader(f.Text)))
	}
	if src.kind != render.Chart {
		return nil, errors.Join(errs...)
	}
	lists := scan.New(in.scanOptions)
	for _, name := range []string{"Chart.yaml", "Images.lock"} {
		path := filepath.Join(src.name, name)
		if _, err := os.Stat(path); err != nil {
			continue // Images.lock; Chart.yaml was there just now
		}
		errs = append(errs, scanOne(ctx, lists, fileSource(path)), scanOne(ctx, scanner, fileSource(path)))
	}
	listed := lists.Result()
	if len(listed.References) == 0 {
		return nil, errors.Join(errs...)
	}
	rendered := scan.New(in.scanOptions)
	for _, f := range out.Files {
		_ = rendered.Scan(f.Name, bytes.NewReader(f.Text)) // its errors are above
	}
	return compare(src.name, listed, rendered.Result()), errors.Join(errs...)
}

// compare returns a warning for each image that a chart lists and does not render, or renders
// and does not list.
func compare(chart string, listed, rendered *scan.Result) []scan.Warning {
	var out []scan.Warning
	add := func(from, in *scan.Result, message, advice string) {
		known := map[string]bool{}
		for _, name := range in.Names() {
			known[tagOf(name)] = true
		}
		for _, img := range from.Images() {
			if ref := img.References[0]; !known[tagOf(img.Name)] {
				out = append(out, scan.Warning{
					Code: scan.CodeChartList, Message: fmt.Sprintf(message, img.Name, chart), Advice: advice,
					Position: ref.Position, Object: ref.Object, Field: ref.Field, Container: ref.Container, Name: img.Name,
				})
			}
		}
	}
	add(rendered, listed, "%s is rendered, and the chart %s does not list it", "it is included; the list of the chart is not complete")
	add(listed, rendered, "%s is in the list of the chart %s, and these values do not render it", "it is included; exclude it if nothing starts it")
	return out
}

// tagOf returns a name without its digest if it has a tag: lists and templates differ in that.
func tagOf(name string) string {
	rest, _, _ := strings.Cut(name, "@")
	if strings.LastIndexByte(rest, ':') > strings.LastIndexByte(rest, '/') {
		return rest
	}
	return name
}

// renderError returns the error of a directory that could not be rendered.
func renderError(src source, err error) error {
	missing, failed := (*render.MissingError)(nil), (*render.RunError)(nil)
	switch {
	case errors.As(err, &missing):
		return cli.Usagef("-f %s: is a %s, and %w", src.name, src.kind, missing).
			WithHint("install it, or run where it is: \"%s | bundle -f -\"", cli.Quote(missing.Command...))
	case errors.As(err, &failed):
		errs := []error{fmt.Errorf("render %s: %w", src.name, err)}
		for _, line := range failed.Lines {
			errs = append(errs, errors.New(line))
		}
		return cli.Errorf(cli.Failed, "%w", errors.Join(errs...)).WithHint("the command was \"%s\"; nothing was pulled", cli.Quote(failed.Command...))
	}
	return err
}
