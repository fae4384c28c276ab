package main

import (
	"path/filepath"
	"testing"

	"stowage/cmd/internal/clitest"
)

// TestGolden runs the scripts that compare the bytes of bundles, every JSON output and every
// exit code with golden files. -update rewrites them; a change there is a change that users
// see.
func TestGolden(t *testing.T) {
	calico, err := filepath.Abs("../../examples/calico.yaml")
	if err != nil {
		t.Fatal(err)
	}
	clitest.Run(t, filepath.Join("testdata", "golden"), clitest.GoldenCmds(), map[string]string{"CALICO": calico})
}
