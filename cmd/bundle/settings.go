package main

import (
	"fmt"
	"runtime"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/progress"
	"stowage/pkg/pull"
)

// settings of the main job: what is left of the flags once they are checked.
type settings struct {
	input
	registries
	images    []string // by hand, as written
	out       string   // "-" is standard output
	platforms []ocispec.Platform
	all       bool
	strict    bool
	keepGoing bool
	dryRun    bool
	flat      bool
	reuse     []string
	since     []string // older bundles the receiver has
	have      []string // lists of digests the receiver has
	referrers bool
	explain   bool
	maxPulls  int // -1: no limit
	progress  string
}

// parseBundle reads the command line of the main job.
func parseBundle(args []string, streams cli.Streams) (*settings, error) {
	s := &settings{}
	var platform string
	var version bool
	fs := cli.NewFlags("bundle", help, streams)
	s.input.flags(fs)
	s.registries.flags(fs)
	fs.StringVarP(&s.out, "output", "o", "", "")
	fs.StringVar(&platform, "platform", "linux/"+runtime.GOARCH, "")
	fs.BoolVar(&s.strict, "strict", false, "")
	fs.BoolVar(&s.keepGoing, "keep-going", false, "")
	fs.BoolVar(&s.dryRun, "dry-run", false, "")
	fs.BoolVar(&s.flat, "flat", false, "")
	fs.StringArrayVar(&s.reuse, "reuse", nil, "")
	fs.StringArrayVar(&s.since, "since", nil, "")
	fs.StringArrayVar(&s.have, "have", nil, "")
	fs.BoolVar(&s.referrers, "referrers", false, "")
	fs.BoolVar(&s.explain, "explain-auth", false, "")
	fs.IntVar(&s.maxPulls, "max-pulls", -1, "")
	fs.StringVar(&s.progress, "progress", progress.Auto, "")
	fs.BoolVar(&version, "version", false, "")
	if err := parse(fs, args); err != nil {
		return nil, err
	}
	if version {
		fmt.Fprintln(streams.Out, "bundle", cli.VersionString())
		return nil, pflag.ErrHelp
	}
	s.images = fs.Args()
	if err := s.check(fs); err != nil {
		return nil, err
	}
	if err := s.parsePlatforms(platform); err != nil {
		return nil, err
	}
	return s, s.registries.read(streams.In, s.fromStdin())
}

// check looks at the combinations of flags.
func (s *settings) check(fs *pflag.FlagSet) error {
	switch {
	case len(s.sources)+len(s.images) == 0:
		return usagef("nothing to bundle: name manifests with -f, or images")
	case s.keepGoing && s.strict:
		return usagef("--keep-going and --strict contradict each other")
	case s.out == "" && !s.explain && !s.dryRun:
		return usagef("no output: name the bundle with -o FILE, or -o - for standard output")
	case fs.Changed("max-pulls") && s.maxPulls < 0:
		return usagef("--max-pulls %d: want 0 or more", s.maxPulls)
	}
	if err := s.checkSince(); err != nil {
		return err
	}
	return s.input.check()
}

func (s *settings) parsePlatforms(list string) error {
	if list == "all" {
		s.all = true
		return nil
	}
	for p := range strings.SplitSeq(list, ",") {
		parsed, err := pull.ParsePlatform(strings.TrimSpace(p))
		if err != nil || !strings.Contains(p, "/") {
			return usagef("--platform %q: want OS/ARCH[/VARIANT] such as linux/arm64, or all", p)
		}
		s.platforms = append(s.platforms, parsed)
	}
	return nil
}
