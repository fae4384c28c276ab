//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"stowage/cmd/internal/cli"
	"stowage/pkg/node"
)

// TestSignalWhileConnecting: a connection that a signal interrupts is not reported as a
// containerd that does not run.
func TestSignalWhileConnecting(t *testing.T) {
	t.Parallel()
	silent := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", silent)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := l.Accept(); err == nil {
			defer conn.Close()
		}
		cancel()
	}()
	_, err = node.Connect(ctx, node.Options{Address: silent})
	if err = ended(ctx, err); err.Error() != interrupted {
		t.Errorf("signalled: %v, want %q", err, interrupted)
	}
	var e *cli.Error
	_, err = node.Connect(t.Context(), node.Options{Address: silent + "x"})
	if err = ended(t.Context(), err); !errors.As(err, &e) || e.Code != cli.NoNode {
		t.Errorf("not signalled: %v, want exit code %d", err, cli.NoNode)
	}
}

// TestInterruptedSaysWhatIsVisible: the message of a run that ended says whether images may be
// visible.
func TestInterruptedSaysWhatIsVisible(t *testing.T) {
	t.Parallel()
	cut := errors.New("cut short")
	for _, tt := range []struct {
		name   string
		signal bool
		err    error
		code   int
		want   string
	}{
		{"a signal before names are made", true, cut, cli.Signalled, "load: error: interrupted: no image was made visible"},
		{"a signal afterwards", true, fmt.Errorf("%w (%w)", cut, node.ErrVisible), cli.Signalled, "load: error: interrupted: some images may be visible already"},
		{"no signal", false, fmt.Errorf("%w (%w)", cut, node.ErrVisible), cli.Failed, "load: error: cut short (images may be visible already)"},
		{"containerd ended", false, &node.UnavailableError{Reason: node.Gone, Address: "/c.sock", Err: cut}, cli.NoNode,
			"load: error: connect to containerd at /c.sock: it has ended: cut short\nload: hint: check its log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			p := program()
			p.Main = func(ctx context.Context, _ []string, _ cli.Streams) error {
				if tt.signal {
					cancel()
				}
				return ended(ctx, tt.err)
			}
			var stderr strings.Builder
			if code := p.Run(ctx, nil, cli.Streams{Err: &stderr}); code != tt.code || !strings.HasPrefix(stderr.String(), tt.want) {
				t.Errorf("code %d, want %d:\n%s", code, tt.code, stderr.String())
			}
		})
	}
}

// TestMissingHint: the hint for a differential bundle names the bundle to load.
func TestMissingHint(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  node.MissingError
		want string
	}{
		{"base unknown", node.MissingError{}, "load the bundle that this one builds on first"},
		{"base not loaded", node.MissingError{Base: "sha256:1"}, "load the bundle sha256:1 first; \"bundle inspect FILE\" shows the identity of a file"},
		{"base loaded without its layers", node.MissingError{Base: "sha256:1", Loaded: true},
			"load that bundle again without --discard-layers, or make this one without --since"},
	} {
		if got := missingHint(&tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
