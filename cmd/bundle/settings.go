package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/bundle"
	"stowage/pkg/pull"
)

// settings of the main job: the command line, checked.
type settings struct {
	input
	registries
	request  bundle.Request // its images are those of the command line
	options  bundle.Options
	explain  bool
	checksum bool // write the file's SHA-256 beside it
	signer   signer
	progress string

	first []string // patterns of the images that come first, see order

	summaryFile string // Markdown for CI, or ""
}

// parseBundle reads the command line of the main job.
func parseBundle(ctx context.Context, args []string, streams cli.Streams) (*settings, error) {
	s := &settings{}
	var platform string
	var have []string
	var maxPulls int
	fs := cli.NewFlags("bundle", help, streams)
	fs.Guesses = guesses
	s.input.flags(fs.FlagSet)
	s.registries.flags(fs.FlagSet)
	fs.StringVarP(&s.request.Output, "output", "o", "", "")
	fs.StringVar(&platform, "platform", "linux/"+runtime.GOARCH, "")
	cli.Suggest(fs.FlagSet, "platform", "linux/amd64", "linux/arm64", "linux/arm/v7", "linux/ppc64le", "linux/riscv64", "linux/s390x", "all")
	fs.BoolVar(&s.options.Strict, "strict", false, "")
	fs.BoolVar(&s.options.KeepGoing, "keep-going", false, "")
	fs.BoolVar(&s.options.DryRun, "dry-run", false, "")
	fs.BoolVar(&s.checksum, "checksum", false, "")
	fs.StringVar(&s.signer.key, "sign-key", "", "")
	fs.StringVar(&s.summaryFile, "summary", "", "")
	fs.StringArrayVar(&s.first, "first", nil, "")
	fs.BoolVar(&s.request.Flat, "flat", false, "")
	fs.StringArrayVar(&s.options.Reuse, "reuse", nil, "")
	fs.StringArrayVar(&s.request.Since, "since", nil, "")
	fs.StringArrayVar(&have, "have", nil, "")
	fs.BoolVar(&s.request.Referrers, "referrers", false, "")
	fs.BoolVar(&s.explain, "explain-auth", false, "")
	fs.IntVar(&maxPulls, "max-pulls", -1, "")
	fs.Var((*cli.Rate)(&s.pull.LimitRate), "limit-rate", "")
	progress.AddFlags(fs.FlagSet, &s.progress)
	fs.AddVersion()
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	if err := s.words(args, fs.Words()); err != nil {
		return nil, err
	}
	if fs.Changed("max-pulls") {
		s.options.MaxPulls = &maxPulls
	}
	if slices.Contains([]string{"/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"}, s.request.Output) {
		s.request.Output = "-" // no other file can be made beside them
	}
	if err := s.check(args, streams); err != nil {
		return nil, err
	}
	if s.request.Output == "-" {
		s.request.Writer = streams.Out
	}
	var err error
	if s.sources, err = expand(s.sources); err != nil {
		return nil, err
	}
	if s.request.Platforms, s.request.All, err = parsePlatforms(platform); err != nil {
		return nil, err
	}
	if s.request.Have, err = s.readDigests(have); err != nil {
		return nil, err
	}
	return s, s.registries.read(ctx, streams, s.fromStdin())
}

// check refuses contradictions.
func (s *settings) check(args []string, streams cli.Streams) error {
	output := s.request.Output
	switch {
	case len(s.sources)+len(s.request.Images) == 0:
		return cli.Usagef("nothing to bundle: name manifests with -f, or images")
	case s.options.KeepGoing && s.options.Strict:
		return cli.Usagef("--keep-going and --strict contradict each other")
	case output == "" && !s.explain && !s.options.DryRun:
		return cli.Usagef("no output: name the bundle with -o FILE, or -o - for standard output").WithHint("%s", s.try(args))
	case output == "-" && cli.Terminal(streams.Out):
		return cli.Usagef("-o -: standard output is a terminal: name a file, or write to a pipe")
	case output == "-" && s.checksum:
		return cli.Usagef("--checksum: -o - has no file to write the SHA-256 beside")
	case output == "-" && s.signer.key != "":
		return cli.Usagef("--sign-key: -o - has no file to write the signature beside")
	case output == "-" && s.summaryFile != "":
		return cli.Usagef("--summary: -o - has no file to describe; write the bundle to a file")
	case s.summaryFile != "" && s.explain:
		return cli.Usagef("--summary and --explain-auth contradict each other")
	case s.summaryFile != "" && (s.summaryFile == output || slices.Contains(s.sources, s.summaryFile)):
		return cli.Usagef("--summary %s: would replace another file of this run", s.summaryFile)
	case slices.Contains([]string{"json", "yaml", "name", "wide", "text", "jsonpath"}, output):
		return cli.Usagef("-o %s: the name of the bundle's file, not a format", output).
			WithHint("\"bundle inspect -o json FILE\" describes a bundle, --progress json the run; write -o ./%s for a file of this name", output)
	case slices.Contains(s.sources, output):
		return cli.Usagef("-o %s: would replace a manifest", output)
	case s.options.MaxPulls != nil && *s.options.MaxPulls < 0:
		return cli.Usagef("--max-pulls %d: want 0 or more", *s.options.MaxPulls)
	}
	return nil
}

// checkFiles reports a bundle to build on that does not exist, and a summary that cannot be
// written when the bundle is complete.
func (s *settings) checkFiles() error {
	if s.summaryFile != "" {
		if info, err := os.Stat(filepath.Dir(s.summaryFile)); err != nil || !info.IsDir() {
			return cli.Errorf(cli.Failed, "--summary %s: its directory does not exist", s.summaryFile)
		}
		if info, err := os.Stat(s.summaryFile); err == nil && info.IsDir() {
			return cli.Errorf(cli.Failed, "--summary %s: is a directory", s.summaryFile)
		}
	}
	for flag, paths := range map[string][]string{"reuse": s.options.Reuse, "since": s.request.Since} {
		for _, path := range paths {
			if !exists(path) {
				return cli.Errorf(cli.Failed, "--%s %s: no such file", flag, path)
			}
		}
	}
	return nil
}

// parsePlatforms reads the list of --platform.
func parsePlatforms(list string) (platforms []ocispec.Platform, all bool, err error) {
	if list == "all" {
		return nil, true, nil
	}
	for p := range strings.SplitSeq(list, ",") {
		parsed, err := pull.ParsePlatform(strings.TrimSpace(p))
		if err != nil || !strings.Contains(p, "/") {
			return nil, false, cli.Usagef("--platform %q: want OS/ARCH[/VARIANT] such as linux/arm64, or all", p)
		}
		platforms = append(platforms, parsed)
	}
	return platforms, false, nil
}

// readDigests reads the lists of --have and returns what all of them have: a bundle is for
// every node.
func (s *settings) readDigests(paths []string) ([]digest.Digest, error) {
	var all []digest.Digest
	for i, path := range paths {
		have := map[digest.Digest]bool{}
		var list []digest.Digest
		err := cli.ReadList(path, func(text string) error {
			d, err := digest.Parse(text)
			if err != nil {
				return fmt.Errorf("%q: %w", text, err)
			}
			have[d] = true
			list = append(list, d)
			return nil
		})
		switch {
		case err != nil:
			return nil, cli.Errorf(cli.Failed, "--have: %w", err)
		case len(list) == 0:
			s.warnings = append(s.warnings, fmt.Sprintf("--have %s: the list is empty, so the bundle omits no layer", path))
		}
		if i == 0 {
			all = list
		}
		all = slices.DeleteFunc(all, func(d digest.Digest) bool { return !have[d] })
	}
	return all, nil
}
