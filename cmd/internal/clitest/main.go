package clitest

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// Main is the TestMain of a command: its scripts run the programs given here, each in a
// process of its own that is this test binary under another name.
func Main(m *testing.M, programs map[string]func()) {
	testscript.Main(cleaner{m}, programs)
}

// cleaner tidies up behind the tests; testscript.Main does not return.
type cleaner struct{ m *testing.M }

func (c cleaner) Run() int {
	defer Clean()
	return c.m.Run()
}
