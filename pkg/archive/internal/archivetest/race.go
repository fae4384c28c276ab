//go:build race

package archivetest

// Race reports whether the race detector is on. Tests that measure memory are skipped then.
const Race = true
