package clitest

import (
	"fmt"
	"os"
	"testing"
)

// Need skips the test and says why when err tells that a part is missing on this machine.
// With CI=true the test fails instead, so that a build machine never passes by skipping.
func Need(t testing.TB, part string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	text := fmt.Sprintf("%s is missing: %v", part, err)
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
}

// spaceError says that a disk is too small for a test.
type spaceError struct {
	dir        string
	free, want int64 // bytes
}

func (e *spaceError) Error() string {
	return fmt.Sprintf("%s has %d MiB free, the test takes %d MiB", e.dir, e.free>>20, e.want>>20)
}
