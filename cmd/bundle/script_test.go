package main

import (
	"path/filepath"
	"testing"

	"stowage/cmd/internal/clitest"
)

func TestMain(m *testing.M) {
	clitest.Main(m, map[string]func(){"bundle": main})
}

// TestScripts runs the scripts of testdata, with the example of the repository as $CALICO.
func TestScripts(t *testing.T) {
	calico, err := filepath.Abs("../../examples/calico.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"make", "hurt", "accounts", "scan", "rewrite", "read"} {
		t.Run(dir, func(t *testing.T) {
			clitest.Run(t, filepath.Join("testdata", dir), nil, map[string]string{"CALICO": calico})
		})
	}
}
