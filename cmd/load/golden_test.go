//go:build linux

package main

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/clitest"
	"stowage/internal/nodetest"
	"stowage/pkg/node"
)

// TestGolden runs the scripts without a node that hold the outputs in JSON and the exit
// codes to what they were when the scripts were written. -update rewrites the golden
// parts; a change there is a change that users see.
func TestGolden(t *testing.T) {
	clitest.Run(t, "testdata/golden/plain", clitest.GoldenCmds(), map[string]string{"BUNDLE": filepath.Join(clitest.Programs(t), "bundle")})
}

// TestGoldenNode runs those with a real containerd. They share it; each has image names or
// a namespace of its own.
func TestGoldenNode(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t)
	cmds := clitest.GoldenCmds()
	cmds["node"] = clitest.NodeCommand(n)
	// The outer test ends, and the node with it, when all parallel scripts have ended.
	t.Run("node", func(t *testing.T) {
		clitest.Run(t, "testdata/golden/node", cmds, map[string]string{
			"NODE": n.Address(), "CONTAINERD_ADDRESS": n.Address(), "VERSION": version(t, n), "BUNDLE": filepath.Join(clitest.Programs(t), "bundle"),
		})
	})
}

// version returns what the node's containerd calls itself.
func version(t *testing.T, n *nodetest.Node) string {
	t.Helper()
	c, err := node.Connect(t.Context(), node.Options{Address: n.Address()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // only asked
	return c.Server().Version
}

// TestGoldenHelp compares the help texts with the files of testdata/help.
func TestGoldenHelp(t *testing.T) {
	texts := map[string]string{}
	for _, job := range append(slices.Sorted(maps.Keys(program.Jobs)), "") {
		var out, told strings.Builder
		args := strings.Fields(job + " --help")
		if code := program.Run(t.Context(), args, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &told}); code != cli.OK {
			t.Errorf("load %v: code %d, %s", args, code, told.String())
		}
		texts[strings.TrimSuffix("load-"+job, "-")+".txt"] = out.String()
	}
	clitest.Golden(t, filepath.Join("testdata", "help"), texts)
}
