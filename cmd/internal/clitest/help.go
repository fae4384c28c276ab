package clitest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// option is what a help text says about a flag.
type option struct {
	short string
	text  string
}

var (
	optionLine  = regexp.MustCompile(`^ {2,6}(?:-([a-zA-Z]), )?--([a-z][a-z-]+)\b(.*)`)
	mention     = regexp.MustCompile(`--([a-z][a-z-]+)`)
	defaultText = regexp.MustCompile(`\(default ([^),]+)`)
)

// Help checks a help text against the flags: every flag is in the text, every option of the
// text exists, and shorthands and defaults are those of the flags.
func Help(t testing.TB, text string, flags *pflag.FlagSet) {
	t.Helper()
	described := options(text)
	var mentioned []string
	for _, m := range mention.FindAllStringSubmatch(text, -1) {
		mentioned = append(mentioned, m[1])
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(mentioned, f.Name) {
			t.Errorf("--%s is not in the help text", f.Name)
		}
		o, ok := described[f.Name]
		if !ok {
			return // only in the usage line
		}
		if o.short != f.Shorthand {
			t.Errorf("--%s: the help text has -%s, the flag -%s", f.Name, o.short, f.Shorthand)
		}
		if m := defaultText.FindStringSubmatch(o.text); m != nil && m[1] != f.DefValue {
			t.Errorf("--%s: the help text has the default %q, the flag %q", f.Name, m[1], f.DefValue)
		}
	})
	for name := range described {
		if name != "help" && flags.Lookup(name) == nil {
			t.Errorf("--%s of the help text does not exist", name)
		}
	}
}

// options parses the options of a help text, each with its continuation lines.
func options(text string) map[string]option {
	out := map[string]option{}
	last := ""
	for line := range strings.SplitSeq(text, "\n") {
		if m := optionLine.FindStringSubmatch(line); m != nil {
			last = m[2]
			out[last] = option{short: m[1], text: m[3]}
			continue
		}
		if !strings.HasPrefix(line, "          ") {
			last = ""
		}
		if o, ok := out[last]; ok {
			o.text += " " + strings.TrimSpace(line)
			out[last] = o
		}
	}
	return out
}
