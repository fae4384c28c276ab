package clitest

import (
	"errors"
	"os/exec"
	"regexp"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits runs a program and wants a certain exit code, which exec cannot tell apart:
//
//	exits 5 bundle -f calico.yaml -o calico.tar
//
// With a number of at least one it also wants what every refusal of the commands owes:
// nothing on standard output that looks like help, and a line "PROGRAM: error: …".
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
		ts.Fatalf("%s ended with code %d, want %d", args[1], got, want)
	}
	told := regexp.MustCompile(`(?m)^` + args[1] + `: error: .`).MatchString(ts.ReadFile("stderr"))
	if told != (want != 0) {
		ts.Fatalf("code %d, and an error told: %v", want, told)
	}
}
