package clitest

import (
	"errors"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a program and checks its exit code:
//
//	exits 5 bundle -f calico.yaml -o calico.tar
//
// For a code other than 0 it also checks that standard error has a line "PROGRAM: error:
// …", and for code 0 that it has none.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM [ARG...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("run %s: %v", args[1], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%s exited with code %d, want %d", args[1], got, want)
	}
	reported := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(filepath.Base(args[1])) + `: error: .`).MatchString(ts.ReadFile("stderr"))
	if reported != (want != 0) {
		ts.Fatalf("exit code %d, error message: %v", want, reported)
	}
}
