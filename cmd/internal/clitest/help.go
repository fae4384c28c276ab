package clitest

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// option is what a help text says of a flag.
type option struct {
	short string
	text  string
}

var (
	optionLine  = regexp.MustCompile(`^ {2,6}(?:-([a-zA-Z]), )?--([a-z][a-z-]+)\b(.*)`)
	mention     = regexp.MustCompile(`--([a-z][a-z-]+)`)
	defaultTold = regexp.MustCompile(`\(default ([^),]+)`)
)

// Help holds a help text and the flags behind it together: every flag stands in the text,
// every option of the text exists, letters and defaults are those of the flags.
func Help(t testing.TB, text string, flags *pflag.FlagSet) {
	t.Helper()
	told := options(text)
	var mentioned []string
	for _, m := range mention.FindAllStringSubmatch(text, -1) {
		mentioned = append(mentioned, m[1])
	}
	flags.VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(mentioned, f.Name) {
			t.Errorf("--%s is not in the help text", f.Name)
		}
		o, ok := told[f.Name]
		if !ok {
			return // named in the line of usage alone
		}
		if o.short != f.Shorthand {
			t.Errorf("--%s: the help text has -%s, the flag -%s", f.Name, o.short, f.Shorthand)
		}
		if m := defaultTold.FindStringSubmatch(o.text); m != nil && m[1] != f.DefValue {
			t.Errorf("--%s: the help text has the default %q, the flag %q", f.Name, m[1], f.DefValue)
		}
	})
	for name := range told {
		if name != "help" && flags.Lookup(name) == nil {
			t.Errorf("--%s of the help text does not exist", name)
		}
	}
}

// options reads the options of a help text, each with the lines that belong to it.
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
