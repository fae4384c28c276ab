package clitest

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Main is the TestMain of a command: its scripts run the given programs, each in its own
// process, which is this test binary under another name.
func Main(m *testing.M, programs map[string]func()) {
	testscript.Main(cleaner{m}, programs)
}

// cleaner calls Clean after the tests; testscript.Main does not return.
type cleaner struct{ m *testing.M }

func (c cleaner) Run() int {
	defer Clean()
	return c.m.Run()
}
