package main

import (
	"strings"
	"testing"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/clitest"
)

// TestInputTerminal: load does not wait for a bundle to be typed.
func TestInputTerminal(t *testing.T) {
	_, tty := clitest.Terminal(t)
	var stderr strings.Builder
	code := program().Run(t.Context(), []string{"-"}, cli.Streams{In: tty, Out: &stderr, Err: &stderr})
	want := `load: error: -: standard input is a terminal: name a file, or read from a pipe
load: hint: "load - < FILE" or "load FILE"; see "load --help"
`
	if code != cli.Usage || stderr.String() != want {
		t.Errorf("code %d, got:\n%s", code, stderr.String())
	}
}

func TestIsText(t *testing.T) {
	for head, want := range map[string]bool{
		"kind: Pod\n": true, "é": true, strings.Repeat("a", headSize-1) + "\xc3": true, "\xc3": false, "\x1f\x8b\x08": false, "\x28\xb5\x2f\xfd": false,
		"blobs/\x00\x00": false, "\x00": false, "\xff\xfe": false,
	} {
		if got := isText([]byte(head)); got != want {
			t.Errorf("%q: %v, want %v", head, got, want)
		}
	}
}
