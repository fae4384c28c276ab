package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"stowage/internal/lazy"
	"stowage/internal/redact"
)

// Flags are the flags of a job.
type Flags struct {
	*pflag.FlagSet

	// Guesses are flags of other programs that people try, without dashes, each with what to
	// write instead: "username" with "--creds HOST=USER", or "" where no flag is needed.
	Guesses map[string]string

	name    string
	streams Streams
	version *bool
	details []string // printed after the version
	words   []int
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
	f.version, f.details = f.BoolP("version", "v", false, ""), details
}

// Parse reads args. A mistake is a usage error. [pflag.ErrHelp] reports that Parse has
// printed what the command line asked for, the help or the version.
func (f *Flags) Parse(args []string) error {
	var unknown *pflag.NotExistError
	switch err := f.FlagSet.Parse(args); {
	case errors.Is(err, pflag.ErrHelp):
		return err
	case errors.As(err, &unknown):
		return Usagef("%w", err).WithHint("%s", f.meant(unknown, args))
	case err != nil:
		return Usagef("%w", err)
	case f.version != nil && *f.version:
		fmt.Fprintln(f.streams.Out, f.name, VersionString())
		for _, d := range f.details {
			fmt.Fprintln(f.streams.Out, d)
		}
		return pflag.ErrHelp
	}
	f.words, _ = words(f.FlagSet, args) // these arguments were parsed above
	return f.checkChoices()
}

// Words returns the indexes of those arguments given to Parse that f.Args returns.
func (f *Flags) Words() []int { return f.words }

// words returns the indexes of the arguments that are neither flags nor their values. It
// sets no flag.
func words(f *pflag.FlagSet, args []string) ([]int, error) {
	skip := func(*pflag.Flag, string) error { return nil }
	var out []int
	f.SetInterspersed(false)
	for i := 0; i < len(args); i++ {
		if err := f.ParseAll(args[i:], skip); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			break
		}
		i = len(args) - f.NArg()
		if f.ArgsLenAtDash() >= 0 { // every argument after "--"
			for ; i < len(args); i++ {
				out = append(out, i)
			}
			break
		}
		out = append(out, i)
	}
	f.SetInterspersed(true)
	return out, f.ParseAll(args, skip) // f.Args returns all of them again
}

// meant returns the hint for a flag that does not exist.
func (f *Flags) meant(unknown *pflag.NotExistError, args []string) string {
	name := unknown.GetSpecifiedName()
	if letters := unknown.GetSpecifiedShortnames(); len(letters) > 1 {
		// A long flag behind one dash: -version.
		if long, _, _ := strings.Cut(letters, "="); f.Lookup(long) != nil {
			return fmt.Sprintf("did you mean \"--%s\"?", long)
		}
	}
	instead, ok := f.Guesses[name]
	switch {
	case ok && instead == "":
		flag := func(arg string) bool { return arg == "-"+name || arg == "--"+name }
		return fmt.Sprintf("did you mean \"%s %s\"?", f.name, Quote(slices.DeleteFunc(slices.Clone(args), flag)...))
	case ok && f.has(instead):
		return fmt.Sprintf("did you mean \"%s\"?", instead)
	}
	var names []string
	f.VisitAll(func(flag *pflag.Flag) { names = append(names, flag.Name) })
	if like, ok := closest(name, append(names, "help")); ok {
		return fmt.Sprintf("did you mean \"--%s\"?", like)
	}
	return ""
}

// has reports whether f has the flag at the beginning of text, if there is one.
func (f *Flags) has(text string) bool {
	name, _, _ := strings.Cut(text, " ")
	long, isLong := strings.CutPrefix(name, "--")
	short, isShort := strings.CutPrefix(name, "-")
	switch {
	case isLong:
		return f.Lookup(long) != nil
	case isShort && len(short) == 1:
		return f.ShorthandLookup(short) != nil
	}
	return true
}

// Usagef returns a usage error. [Program.Run] adds to its hint where the flags are explained.
func Usagef(format string, args ...any) *Error { return Errorf(Usage, format, args...) }

// choices and suggestions are annotations of flags.
const choices, suggestions = "choices", "suggestions"

// Choices declares that the value of a flag is one of values. [Flags.Parse] refuses any
// other, and the shell completes them.
func Choices(fs *pflag.FlagSet, flag string, values ...string) {
	_ = fs.SetAnnotation(flag, choices, values) // fails only for a flag that does not exist
}

// Suggest declares values of a flag that the shell completes, in a list with commas too.
// There may be others.
func Suggest(fs *pflag.FlagSet, flag string, values ...string) {
	_ = fs.SetAnnotation(flag, suggestions, values) // as above
}

// Values returns the values that were declared for a flag, and whether its value is a list
// of them.
func Values(flag *pflag.Flag) (values []string, list bool) {
	if values := flag.Annotations[suggestions]; values != nil {
		return values, true
	}
	return flag.Annotations[choices], false
}

// checkChoices returns a usage error when a flag has a value that is not one of its choices.
func (f *Flags) checkChoices() error {
	var err error
	f.Visit(func(flag *pflag.Flag) {
		if values := flag.Annotations[choices]; values != nil && err == nil {
			err = OneOf(flag.Name, flag.Value.String(), values...)
		}
	})
	return err
}

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

var (
	unquoted = lazy.Regexp(`^[A-Za-z0-9_@%+=:,./-]+$`) // nothing for a shell in it
	password = lazy.Regexp(`^((?:--creds=)?[^=]+=[^:]+):[^@].*$`)
)

// Quote returns arguments as they are typed into a shell, without the credentials in them:
// the account and the query of an address, a password behind --creds HOST=USER.
func Quote(args ...string) string {
	out := make([]string, len(args))
	for i, arg := range args {
		arg = redact.Addresses(arg)
		if strings.HasPrefix(arg, "--creds=") || i > 0 && args[i-1] == "--creds" {
			arg = password().ReplaceAllString(arg, "$1")
		}
		if !unquoted().MatchString(arg) {
			arg = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
		out[i] = arg
	}
	return strings.Join(out, " ")
}
