package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/clitest"
)

// TestHelp: every job explains itself on standard output with code 0, and its text and
// its flags are about the same.
func TestHelp(t *testing.T) {
	jobs := append(slices.Sorted(maps.Keys(program.Jobs)), "")
	for _, job := range jobs {
		t.Run("bundle "+job, func(t *testing.T) {
			var flags *pflag.FlagSet
			cli.HelpShown = func(fs *pflag.FlagSet) { flags = fs }
			t.Cleanup(func() { cli.HelpShown = func(*pflag.FlagSet) {} })
			for _, ask := range []string{"--help", "-h"} {
				var out, told strings.Builder
				args := strings.Fields(job + " " + ask)
				code := program.Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &told})
				if code != 0 || told.Len() > 0 {
					t.Errorf("%v: code %d, standard error %q", args, code, told.String())
				}
				text := out.String()
				if !strings.HasPrefix(text, strings.TrimSpace("bundle "+job)+" ") {
					t.Errorf("%v begins with %.40q", args, text)
				}
				for _, part := range []string{"\nUsage:\n  bundle", cli.ExitCodes, "\nExample:\n"} {
					if !strings.Contains(text, part) {
						t.Errorf("%v: no %q in it", args, part)
					}
				}
				clitest.Help(t, text, flags)
			}
		})
	}
}

// TestHelpNamesJobs: who reads bundle --help learns of every job.
func TestHelpNamesJobs(t *testing.T) {
	for name := range program.Jobs {
		if !strings.Contains(help, "\n  bundle "+name+" ") {
			t.Errorf("bundle --help does not name bundle %s", name)
		}
	}
}

func TestVersion(t *testing.T) {
	var out, told strings.Builder
	code := program.Run(t.Context(), []string{"--version"}, cli.Streams{Out: &out, Err: &told})
	if want := "bundle " + cli.VersionString() + "\n"; code != 0 || out.String() != want || told.Len() > 0 {
		t.Errorf("code %d, %q, %q, want %q", code, out.String(), told.String(), want)
	}
}
