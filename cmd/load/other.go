//go:build !linux

// Command load puts a bundle's images into a Linux node's containerd. It does
// nothing on other systems.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "load: error: containerd nodes run Linux; copy the bundle to one and run load there")
	os.Exit(7)
}
