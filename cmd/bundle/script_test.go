package main

import (
	"os/exec"
	"path/filepath"
	"testing"

	"stowage/cmd/internal/clitest"
	"stowage/internal/need"
)

func TestMain(m *testing.M) {
	clitest.Main(m, map[string]func(){"bundle": main})
}

// TestScripts runs the scripts of testdata, with the repository as $ROOT and its example as
// $CALICO.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"make", "hurt", "accounts", "scan", "rewrite", "read", "ci"} {
		t.Run(dir, func(t *testing.T) {
			if dir == "ci" {
				for _, program := range []string{"jq", "curl"} {
					_, err := exec.LookPath(program)
					need.Part(t, program, err)
				}
			}
			clitest.Run(t, filepath.Join("testdata", dir), nil, map[string]string{"CALICO": filepath.Join(root, "examples", "calico.yaml"), "ROOT": root})
		})
	}
}
