// Command bundle writes the container images that Kubernetes manifests need into one file,
// for a cluster without a registry. See its --help and docs/.
package main

import (
	"os"
	"runtime/debug"

	"stowage/cmd/internal/cli"
)

var program = cli.Program{
	Name: "bundle",
	Main: runBundle,
	Jobs: map[string]cli.Job{
		"scan":    runScan,
		"rewrite": runRewrite,
		"inspect": runInspect,
		"verify":  runVerify,
		"diff":    runDiff,
	},
	Interrupted: interrupted,
}

const interrupted = "interrupted" // the message of a run that a signal ended

// gcPercent is how much the heap may grow between two collections, percent of what is in
// use. That is small, 9 MB for a bundle of 2000 images, and the program mostly waits for the
// network, so Go's default of 100 would only cost memory.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	program.Exit()
}
