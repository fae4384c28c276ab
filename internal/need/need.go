// Package need ends tests that this machine cannot run: a program, a privilege or disk
// space is missing. Such a test is skipped with the reason. On a build machine, where CI=true
// promises that nothing is missing, it fails instead, so that no run passes by skipping.
package need

import (
	"fmt"
	"os"
	"testing"
)

// Strict reports whether a missing part is a failure: the environment has CI=true.
func Strict() bool { return os.Getenv("CI") == "true" }

// Missing ends the test. It formats the reason as fmt.Sprint does.
func Missing(t testing.TB, reason ...any) {
	t.Helper()
	if Strict() {
		t.Fatal(reason...)
	}
	t.Skip(reason...)
}

// Part ends the test if err, the result of a search for the part, is not nil.
func Part(t testing.TB, part string, err error) {
	t.Helper()
	if err != nil {
		Missing(t, fmt.Sprintf("%s is missing: %v", part, err))
	}
}

// Root ends the test unless it runs as root. reason is what it needs root for.
func Root(t testing.TB, reason string) {
	t.Helper()
	if os.Geteuid() != 0 {
		Missing(t, "not running as root, which is needed to "+reason)
	}
}
