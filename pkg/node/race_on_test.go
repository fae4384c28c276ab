//go:build linux && race

package node

// raceDetector tells whether this test binary carries the race detector.
const raceDetector = true
