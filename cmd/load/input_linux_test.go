package main

import (
	"errors"
	"os"
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

// TestInputRedirected: "load < calico.tar" says how standard input is read.
func TestInputRedirected(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for want, in := range map[string]*os.File{"usage: load check FILE": file, `"load check -" reads standard input`: r} {
		_, err := parse("load check", checkHelp, false, nil, cli.Streams{In: in})
		if e := (*cli.Error)(nil); !errors.As(err, &e) || e.Code != cli.Usage || e.Hint != want {
			t.Errorf("got %#v, want the hint %q", err, want)
		}
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
