package main

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/clitest"
)

// TestGolden runs the scripts that hold the bytes of bundles, every output in JSON and
// every exit code to what they were when the scripts were written. -update rewrites the
// golden parts; a change there is a change that users see.
func TestGolden(t *testing.T) {
	calico, err := filepath.Abs("../../examples/calico.yaml")
	if err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, filepath.Join("testdata", "golden"), clitest.GoldenCmds(), map[string]string{"CALICO": calico})
}

// TestGoldenHelp compares the help texts with the files of testdata/help.
func TestGoldenHelp(t *testing.T) {
	texts := map[string]string{}
	for _, job := range append(slices.Sorted(maps.Keys(program.Jobs)), "") {
		var out, told strings.Builder
		args := strings.Fields(job + " --help")
		if code := program.Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &told}); code != cli.OK {
			t.Errorf("bundle %v: code %d, %s", args, code, told.String())
		}
		texts[strings.TrimSuffix("bundle-"+job, "-")+".txt"] = out.String()
	}
	clitest.Golden(t, filepath.Join("testdata", "help"), texts)
}
