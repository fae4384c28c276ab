package cli

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestProgram: which job runs, and what is printed where.
func TestProgram(t *testing.T) {
	job := func(name string) Job {
		return func(_ context.Context, args []string, streams Streams) error {
			fs := NewFlags(name, "help of "+name+"\n", streams)
			fs.AddVersion("detail")
			mode := fs.String("mode", "a", "")
			if err := fs.Parse(args); err != nil {
				return err
			}
			return OneOf("mode", *mode, "a", "b", "c")
		}
	}
	p := Program{Name: "p", Main: job("p"), Jobs: map[string]Job{"sub": job("p sub")}}
	const hint = "p: hint: \"p --help\" lists all commands and flags\n"
	const subHint = "p: hint: \"p sub --help\" lists all flags\n"
	for _, tt := range []struct {
		args, out, err string
		code           int
	}{
		{args: ""},
		{args: "--help", out: "help of p\n"},
		{args: "sub -h", out: "help of p sub\n"},
		{args: "--version", out: "p " + VersionString() + "\ndetail\n"},
		{args: "sub --mode b"},
		{args: "--mode d", code: Usage, err: "p: error: --mode \"d\": want a, b or c\n" + hint},
		{args: "sub --no", code: Usage, err: "p: error: unknown flag: --no\n" + subHint},
	} {
		var out, stderr strings.Builder
		code := p.Run(t.Context(), strings.Fields(tt.args), Streams{Out: &out, Err: &stderr})
		if code != tt.code || out.String() != tt.out || stderr.String() != tt.err {
			t.Errorf("%q: got %d, %q, %q", tt.args, code, out.String(), stderr.String())
		}
	}
}

// TestInterrupted: a run that a signal ended reports the program's message.
func TestInterrupted(t *testing.T) {
	p := Program{Name: "p", Interrupted: "stopped", Main: func(ctx context.Context, _ []string, _ Streams) error { return ctx.Err() }}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stderr strings.Builder
	want := "p: error: stopped\np: hint: run the same command again to resume\n"
	if code := p.Run(ctx, nil, Streams{Err: &stderr}); code != Signalled || stderr.String() != want {
		t.Errorf("got %d, %q", code, stderr.String())
	}
}

// TestOnHelp: a test sees the flags behind a help text.
func TestOnHelp(t *testing.T) {
	var seen *pflag.FlagSet
	var out strings.Builder
	fs := NewFlags("p", "help\n", Streams{Out: &out, OnHelp: func(f *pflag.FlagSet) { seen = f }})
	if err := fs.Parse([]string{"--help"}); !errors.Is(err, pflag.ErrHelp) || seen != fs.FlagSet {
		t.Errorf("got %v, %v", err, seen)
	}
}

func TestReadList(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("# head\n\n one # first\ntwo\r\nbad\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	err := ReadList(path, func(text string) error {
		if text == "bad" {
			return errors.New("not good")
		}
		got = append(got, text)
		return nil
	})
	if !slices.Equal(got, []string{"one", "two"}) || err == nil || err.Error() != path+":5: not good" {
		t.Errorf("got %q, %v", got, err)
	}
	if err := ReadList(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}
