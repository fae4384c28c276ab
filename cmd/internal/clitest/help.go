package clitest

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/internal/helptext"
)

var (
	mention     = regexp.MustCompile(`--([a-z][a-z0-9-]+)`)
	defaultText = regexp.MustCompile(`\(default ([^),]+)`)
)

// Program checks the help of a program: each job prints its own to standard output with code
// 0, text and flags agree, the text is that of a golden file below testdata/help, and the
// program's help names every job. It also checks --version and compares the man pages and
// the completions with testdata/man and testdata/completion.
func Program(t *testing.T, p *cli.Program) {
	texts := map[string]string{}
	for _, name := range append(slices.Sorted(maps.Keys(p.Jobs)), "") {
		job := strings.TrimSpace(p.Name + " " + name)
		t.Run(job, func(t *testing.T) {
			for _, flag := range []string{"--help", "-h"} {
				text, flags := runProgram(t, p, append(strings.Fields(name), flag))
				if !strings.HasPrefix(text, job+" ") {
					t.Errorf("%s: the help begins with %.40q", flag, text)
				}
				for _, part := range []string{"\nUsage:\n  " + job, cli.ExitCodes, "\nExample:\n"} {
					if !strings.Contains(text, part) {
						t.Errorf("%s: the help lacks %q", flag, part)
					}
				}
				compare(t, text, flags)
				texts[strings.ReplaceAll(job, " ", "-")+".txt"] = text
			}
		})
	}
	Golden(t, filepath.Join("testdata", "help"), texts)
	pages, err := helptext.Pages(p.Name, "v1.2.3", "2026-01-02", func(name string) (string, error) {
		text, _ := p.Help(name)
		return text, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	Golden(t, filepath.Join("testdata", "man"), pages)
	completions := map[string]string{}
	for _, shell := range []string{"bash", "fish", "zsh"} {
		completions[p.Name+"."+shell], _ = runProgram(t, p, []string{"completion", shell})
	}
	Golden(t, filepath.Join("testdata", "completion"), completions)
	help, _ := runProgram(t, p, []string{"--help"})
	for name := range p.Jobs {
		if !strings.Contains(help, "\n  "+p.Name+" "+name+" ") {
			t.Errorf("%s --help does not name %s %s", p.Name, p.Name, name)
		}
	}
	version, _ := runProgram(t, p, []string{"--version"})
	if want := p.Name + " " + cli.VersionString() + "\n"; !strings.HasPrefix(version, want) {
		t.Errorf("--version: got %q, want %q first", version, want)
	}
}

// runProgram runs the program and returns what it prints to standard output, with the flags
// behind a help text.
func runProgram(t *testing.T, p *cli.Program, args []string) (string, *pflag.FlagSet) {
	t.Helper()
	var out, stderr strings.Builder
	var flags *pflag.FlagSet
	streams := cli.Streams{In: strings.NewReader(""), Out: &out, Err: &stderr, OnHelp: func(fs *pflag.FlagSet) { flags = fs }}
	if code := p.Run(t.Context(), args, streams); code != 0 || stderr.Len() > 0 {
		t.Errorf("%v: code %d, standard error %q", args, code, stderr.String())
	}
	return out.String(), flags
}

// compare checks that every flag is in the text, every option of the text exists, and that
// letters and defaults are those of the flags.
func compare(t testing.TB, text string, flags *pflag.FlagSet) {
	t.Helper()
	described := map[string]helptext.Option{}
	for _, o := range helptext.Parse(text).Options() {
		described[o.Long] = o
	}
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
		if o.Short != f.Shorthand {
			t.Errorf("--%s: the help text has -%s, the flag -%s", f.Name, o.Short, f.Shorthand)
		}
		if m := defaultText.FindStringSubmatch(o.Text); m != nil && m[1] != f.DefValue {
			t.Errorf("--%s: the help text has the default %q, the flag %q", f.Name, m[1], f.DefValue)
		}
	})
	for name := range described {
		if name != "help" && flags.Lookup(name) == nil {
			t.Errorf("--%s of the help text does not exist", name)
		}
	}
}
