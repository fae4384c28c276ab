package clitest

import (
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// GoldenCmds returns the commands that the scripts with golden texts have beside those of
// [Cmds].
func GoldenCmds() map[string]Cmd {
	return map[string]Cmd{"sha256": sha256Command, "mask": mask}
}

// sha256Command prints the SHA-256 of files, in the form of sha256sum(1).
//
//	sha256 FILE...
func sha256Command(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: sha256 FILE...")
	}
	for _, name := range args {
		f, err := takeFingerprint(ts.MkAbs(name))
		ts.Check(err)
		_, err = fmt.Fprintf(ts.Stdout(), "%s  %s\n", hex.EncodeToString(f.sum[:]), name)
		ts.Check(err)
	}
}

// mask prints a text in JSON with the values replaced that differ from run to run. KEY
// stands for the value of every member with that name, which becomes "*"; TEXT=NAME
// replaces TEXT wherever it stands. Everything else stays as it is, byte for byte. A KEY or
// TEXT that does not occur is an error, so that a script masks no more than it needs to.
//
//	mask FILE|stdout|stderr KEY|TEXT=NAME...
func mask(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: mask FILE|stdout|stderr KEY|TEXT=NAME...")
	}
	text, err := masked(ts.ReadFile(args[0]), args[1:])
	ts.Check(err)
	_, err = io.WriteString(ts.Stdout(), text)
	ts.Check(err)
}

func masked(text string, what []string) (string, error) {
	for _, w := range what {
		before := text
		if i := strings.LastIndex(w, "="); i > 0 {
			text = strings.ReplaceAll(text, w[:i], w[i+1:])
		} else {
			member := regexp.MustCompile(`("` + regexp.QuoteMeta(w) + `": ?)("(?:[^"\\]|\\.)*"|-?[0-9][0-9.eE+-]*|true|false|null)`)
			text = member.ReplaceAllString(text, `${1}"*"`)
		}
		if text == before {
			return "", fmt.Errorf("mask: %q does not occur in:\n%s", w, text)
		}
	}
	return text, nil
}

// Golden compares texts with the files of a directory, one file for each text, and allows no
// other file in it. With -update it writes the files.
func Golden(t *testing.T, dir string, texts map[string]string) {
	t.Helper()
	if *update {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, got := range texts {
		GoldenFile(t, filepath.Join(dir, name), got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := texts[e.Name()]; !ok {
			t.Errorf("%s belongs to no text", filepath.Join(dir, e.Name()))
		}
	}
}

// GoldenFile compares a text with a file. With -update it writes the file.
func GoldenFile(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Errorf("%v (go test -update writes it)", err)
	} else if got != string(want) {
		t.Errorf("%s differs (go test -update rewrites it): got\n%s", path, got)
	}
}
