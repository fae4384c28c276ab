//go:build linux

// Command measure runs a command and reports its cost; see package meter, which starts it.
// It is small so that its own memory does not affect the report.
package main

import (
	"os"

	"stowage/bench/meter"
)

func main() { os.Exit(meter.Main(os.Args[1:])) }
