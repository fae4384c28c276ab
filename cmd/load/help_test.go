//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/clitest"
)

// TestHelp: both jobs explain themselves on standard output with code 0, and their texts
// and flags are about the same.
func TestHelp(t *testing.T) {
	for _, job := range []string{"load", "load check"} {
		t.Run(job, func(t *testing.T) {
			var flags *pflag.FlagSet
			helpShown = func(fs *pflag.FlagSet) { flags = fs }
			t.Cleanup(func() { helpShown = func(*pflag.FlagSet) {} })
			for _, ask := range []string{"--help", "-h"} {
				var out, told strings.Builder
				args := strings.Fields(strings.TrimPrefix(job, "load") + " " + ask)
				code := run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &told})
				if code != 0 || told.Len() > 0 {
					t.Errorf("%v: code %d, standard error %q", args, code, told.String())
				}
				text := out.String()
				if !strings.HasPrefix(text, job+" ") {
					t.Errorf("%v begins with %.40q", args, text)
				}
				for _, part := range []string{"\nUsage:\n  " + job, cli.ExitCodes, "\nExample:\n"} {
					if !strings.Contains(text, part) {
						t.Errorf("%v: no %q in it", args, part)
					}
				}
				clitest.Help(t, text, flags)
			}
		})
	}
}

func TestVersion(t *testing.T) {
	var out, told strings.Builder
	code := run(t.Context(), []string{"--version"}, cli.Streams{Out: &out, Err: &told})
	if want := "load " + cli.VersionString() + "\n"; code != 0 || out.String() != want || told.Len() > 0 {
		t.Errorf("code %d, %q, %q, want %q", code, out.String(), told.String(), want)
	}
}
