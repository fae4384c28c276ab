//go:build !linux

// Command load puts a bundle's images into a Linux node's containerd. It does
// nothing on other systems.
package main

import (
	"os"

	"stowage/cmd/internal/cli"
)

func main() {
	_ = cli.Fprintf(os.Stderr, "load: error: containerd nodes run Linux; copy the bundle to one and run load there\n")
	os.Exit(7)
}
