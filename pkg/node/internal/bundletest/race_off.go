//go:build !race

package bundletest

// RaceDetector reports whether this test binary was built with the race detector.
const RaceDetector = false
