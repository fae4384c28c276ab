package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Flags are the flags of a job.
type Flags struct {
	*pflag.FlagSet
	name    string
	streams Streams
	version *bool
	details []string // printed after the version
}

// NewFlags returns an empty set of flags, which prints help to standard output when the
// command line asks for it.
func NewFlags(name, help string, streams Streams) *Flags {
	f := &Flags{FlagSet: pflag.NewFlagSet(name, pflag.ContinueOnError), name: name, streams: streams}
	f.SortFlags = false
	f.Usage = func() {
		if streams.OnHelp != nil {
			streams.OnHelp(f.FlagSet)
		}
		fmt.Fprint(streams.Out, help)
	}
	f.SetOutput(streams.Err)
	return f
}

// AddVersion adds --version. It prints the program's version and then each of details.
func (f *Flags) AddVersion(details ...string) {
	f.version, f.details = f.Bool("version", false, ""), details
}

// Parse reads args. A mistake is a usage error. [pflag.ErrHelp] reports that Parse has
// printed what the command line asked for, the help or the version.
func (f *Flags) Parse(args []string) error {
	switch err := f.FlagSet.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case err != nil:
		return Usagef("%w", err)
	case f.version != nil && *f.version:
		fmt.Fprintln(f.streams.Out, f.name, VersionString())
		for _, d := range f.details {
			fmt.Fprintln(f.streams.Out, d)
		}
		return pflag.ErrHelp
	}
	return nil
}

// Usagef returns a usage error. [Program.Run] adds the hint.
func Usagef(format string, args ...any) *Error { return Errorf(Usage, format, args...) }

// OneOf returns a usage error when the value of a flag is none of choices.
func OneOf(flag, value string, choices ...string) error {
	if slices.Contains(choices, value) {
		return nil
	}
	last := len(choices) - 1
	want := choices[last]
	if last > 0 {
		want = strings.Join(choices[:last], ", ") + " or " + want
	}
	return Usagef("--%s %q: want %s", flag, value, want)
}
