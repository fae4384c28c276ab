//go:build linux

package main

import (
	"path/filepath"
	"testing"

	"stowage/cmd/internal/clitest"
	"stowage/internal/nodetest"
	"stowage/pkg/node"
)

// TestGolden runs the scripts without a node that compare JSON outputs and exit codes with
// golden files. -update rewrites them; a change there is a change that users see.
func TestGolden(t *testing.T) {
	clitest.Run(t, "testdata/golden/plain", clitest.GoldenCmds(), map[string]string{"BUNDLE": filepath.Join(clitest.Programs(t), "bundle")})
}

// TestGoldenNode runs those with a real containerd, which they share; each has its own image
// names or namespace.
func TestGoldenNode(t *testing.T) {
	t.Parallel()
	n := nodetest.Start(t)
	cmds := clitest.GoldenCmds()
	cmds["node"] = clitest.NodeCommand(n)
	// The outer test ends, and stops the node, when all parallel scripts have ended.
	t.Run("node", func(t *testing.T) {
		clitest.Run(t, "testdata/golden/node", cmds, map[string]string{
			"NODE": n.Address(), "CONTAINERD_ADDRESS": n.Address(), "VERSION": version(t, n), "BUNDLE": filepath.Join(clitest.Programs(t), "bundle"),
		})
	})
}

// version returns the version of the node's containerd.
func version(t *testing.T, n *nodetest.Node) string {
	t.Helper()
	c, err := node.Connect(t.Context(), node.Options{Address: n.Address()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close() // only read from
	return c.Server().Version
}
