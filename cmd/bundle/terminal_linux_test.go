package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/clitest"
)

// TestPasswordPrompt: on a terminal, --creds asks for each password and does not show it.
func TestPasswordPrompt(t *testing.T) {
	screen, tty := clitest.Terminal(t)
	shown := make(chan string, 1)
	prompts := "Password for ann at docker.io: \r\nPassword for bob at ghcr.io: \r\n"
	go func() {
		var seen bytes.Buffer
		for _, typed := range []string{"canary-one", " canary two "} {
			for !strings.HasSuffix(seen.String(), ": ") {
				if _, err := io.CopyN(&seen, screen, 1); err != nil {
					break
				}
			}
			for echoes(t, tty) { // people do not type before the terminal is set
			}
			_, _ = screen.WriteString(typed + "\n")
			_, _ = io.CopyN(&seen, screen, 2)
		}
		shown <- seen.String()
	}()
	args := []string{"-f", "a", "-o", "b", "--creds", "docker.io=ann", "--creds", "ghcr.io=bob"}
	s, err := parseBundle(t.Context(), args, cli.Streams{In: tty, Out: io.Discard, Err: tty})
	if err != nil {
		t.Fatal(err)
	}
	if got := <-shown; got != prompts {
		t.Errorf("the terminal shows %q, want %q", got, prompts)
	}
	if l := s.logins.Logins; len(l) != 2 || l[0].Password.Reveal() != "canary-one" || l[1].Password.Reveal() != " canary two " {
		t.Errorf("the passwords are not those that were typed")
	}
}

// TestPasswordInterrupted: a signal at the prompt ends the run, and the terminal shows again
// what is typed.
func TestPasswordInterrupted(t *testing.T) {
	screen, tty := clitest.Terminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, _ = io.CopyN(io.Discard, screen, int64(len("Password for ann at docker.io: ")))
		for echoes(t, tty) {
		}
		cancel()
	}()
	_, err := parseBundle(ctx, []string{"-f", "a", "-o", "b", "--creds", "docker.io=ann"}, cli.Streams{In: tty, Out: io.Discard, Err: tty})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if !echoes(t, tty) {
		t.Error("the terminal does not show what is typed")
	}
}

func echoes(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Error(err)
	}
	return err == nil && state.Lflag&unix.ECHO != 0
}

// TestNoBundleOnTerminal: a bundle is not written to a terminal.
func TestNoBundleOnTerminal(t *testing.T) {
	_, tty := clitest.Terminal(t)
	var stderr strings.Builder
	code := program().Run(t.Context(), []string{"-f", "a", "-o", "-"}, cli.Streams{In: strings.NewReader(""), Out: tty, Err: &stderr})
	if code != cli.Usage || !strings.Contains(stderr.String(), "-o -: standard output is a terminal") {
		t.Errorf("got %d, %s", code, stderr.String())
	}
}
