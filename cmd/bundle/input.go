package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"

	"github.com/spf13/pflag"

	"stowage/cmd/bundle/internal/render"
	"stowage/cmd/internal/cli"
	"stowage/pkg/bundle"
	"stowage/pkg/scan"
)

// input says where references come from; several jobs share it.
type input struct {
	sources     []string
	recursive   bool
	scanOptions scan.Options
	chart       render.Options
	warnings    []string // about the command line
	notes       []string // about what was rendered
}

func (in *input) flags(fs *pflag.FlagSet) {
	fs.StringArrayVarP(&in.sources, "filename", "f", nil, "")
	fs.BoolVarP(&in.recursive, "recursive", "R", false, "")
	fs.StringVar((*string)(&in.scanOptions.Only), "only", "", "")
	cli.Choices(fs, "only", string(scan.Required))
	fs.StringArrayVar(&in.scanOptions.Include, "include", nil, "")
	fs.StringArrayVar(&in.scanOptions.Exclude, "exclude", nil, "")
	fs.BoolVar(&in.scanOptions.FromStatus, "from-status", false, "")
	fs.StringArrayVar(&in.chart.Values, "values", nil, "")
	fs.StringArrayVar(&in.chart.Set, "set", nil, "")
	fs.StringVar(&in.chart.KubeVersion, "kube-version", "", "")
	fs.StringArrayVar(&in.chart.APIVersions, "api-versions", nil, "")
	fs.BoolVar(&in.chart.IncludeCRDs, "include-crds", false, "")
	fs.StringVar(&in.chart.ReleaseName, "release-name", "", "")
	fs.StringVar(&in.chart.Namespace, "namespace", "", "")
}

// scan reads every source. The error names what could not be read, with its place; the
// result holds everything else.
func (in *input) scan(ctx context.Context, streams cli.Streams) (*scan.Result, error) {
	// What is in use is small while manifests are parsed, and the garbage is not: memory that
	// is never touched makes the collector run each time 8 MiB have gathered, not each 2 MiB.
	ballast := make([]byte, 16<<20)
	defer runtime.KeepAlive(ballast)
	scanner := scan.New(in.scanOptions)
	list, skipped, err := sources(in.sources, in.recursive, streams.In)
	if err != nil {
		return nil, err
	}
	if !in.chart.IsZero() && !slices.ContainsFunc(list, func(s source) bool { return s.kind == render.Chart }) {
		return nil, cli.Usagef("--values, --set and the like are for charts, and -f names none").
			WithHint("-f DIR is a chart if it contains a Chart.yaml")
	}
	var errs []error
	for _, src := range list {
		if src.kind != render.Plain {
			warnings, err := in.render(ctx, scanner, src)
			skipped, errs = append(skipped, warnings...), append(errs, err)
			continue
		}
		if err := scanOne(ctx, scanner, src); err != nil {
			errs = append(errs, err)
		}
	}
	for _, p := range scanner.Unmatched() {
		in.warnings = append(in.warnings, fmt.Sprintf("--exclude %q: matches no image", p))
	}
	result := scanner.Result()
	result.Warnings = append(skipped, result.Warnings...)
	return result, errors.Join(errs...)
}

func scanOne(ctx context.Context, scanner *scan.Scanner, src source) error {
	r, err := src.open(ctx)
	if err != nil {
		return fmt.Errorf("read manifests: %w", err)
	}
	defer r.Close() // only read from
	text := bufio.NewReader(r)
	head, err := text.Peek(headSize)
	if err != nil && err != io.EOF {
		return fmt.Errorf("read manifests: %s: %w", src.name, err)
	}
	if err := notText(src.name, head); err != nil {
		return err
	}
	return scanner.Scan(src.name, text)
}

// headSize is how much of a file notText needs, bytes.
const headSize = 512

// notText returns an error for a file of a kind that people give to -f by mistake.
func notText(name string, head []byte) error {
	for _, kind := range []struct {
		at          int
		magic, what string
	}{
		{257, "ustar", "a tar file"}, {0, "\x1f\x8b", "compressed with gzip"}, {0, "\x28\xb5\x2f\xfd", "compressed with zstd"},
		{0, "PK\x03\x04", "a zip file"}, {0, "\x7fELF", "a program"},
	} {
		if len(head) > kind.at && bytes.HasPrefix(head[kind.at:], []byte(kind.magic)) {
			return cli.Errorf(cli.Failed, "%s is %s, not a manifest", name, kind.what).
				WithHint("name YAML, JSON or a list of images with -f; \"bundle inspect FILE\" shows what is in a bundle")
		}
	}
	return nil
}

// fromStdin reports whether manifests are read from standard input.
func (in *input) fromStdin() bool { return slices.Contains(in.sources, "-") }

// inputError adds the hint to an error of the input.
func inputError(err error) error {
	e := &cli.Error{Code: cli.Failed, Err: err}
	var known *cli.Error
	if errors.As(err, &known) {
		e.Code, e.Hint = known.Code, known.Hint
		return e
	}
	var syntax *scan.SyntaxError
	if errors.As(err, &syntax) {
		e.Hint = "fix the file, or render it first if it is a template; nothing was pulled"
	}
	return e
}

// gather returns the images of a scan in order of first appearance, each with the pull
// secrets of all its places.
func gather(result *scan.Result) []bundle.Image {
	var out []bundle.Image
	for _, found := range result.Images() {
		img := bundle.Image{Name: found.Name, Required: found.Class == scan.Required, Windows: found.OS == "windows", ClusterInternal: found.ClusterInternal, Locked: found.Locked(), Early: found.Early()}
		for _, ref := range found.References {
			img.Volume = img.Volume || isVolume(ref)
			for _, s := range ref.PullSecrets {
				if !slices.Contains(img.Secrets, s) {
					img.Secrets = append(img.Secrets, s)
				}
			}
		}
		out = append(out, img)
	}
	return out
}

// isVolume reports whether a pod needs the image of a reference as an image volume.
func isVolume(r scan.Reference) bool { return r.Class == scan.Required && r.Form == scan.FormVolume }
