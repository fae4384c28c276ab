//go:build linux

// Command load imports a bundle's images into this node's containerd and then asks the node
// for each of them, as the kubelet would. See its --help and docs/.
package main

import "stowage/cmd/internal/cli"

var program = cli.Program{
	Name: "load",
	Main: runLoad,
	Jobs: map[string]cli.Job{
		"check":     runCheck,
		"inventory": runInventory,
		"place":     runPlace,
		"unpin":     runUnpin,
	},
	Interrupted: interrupted,
}

// interrupted is the message of a run that a signal ended before any image became visible.
const interrupted = "interrupted: no image was made visible"

func main() { program.Exit() }
