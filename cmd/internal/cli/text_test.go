package cli

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"docker.io/library/busybox:1.36": "docker.io/library/busybox:1.36",
		"Größe 5\u00a0MB → ok":           "Größe 5\u00a0MB → ok",
		`C:\path "quoted"`:               `C:\path "quoted"`,
		"a\x1b]0;owned\a\x1b[8m":         `a\x1b]0;owned\a\x1b[8m`,
		"one\r\ntwo\tthree":              `one\r\ntwo\tthree`,
		"csi \u009b31m":                  `csi \u009b31m`,
		"invalid \xff\x80":               `invalid \xff\x80`,
		"bidi \u202egnp.exe":             `bidi \u202egnp.exe`,
		"line\u2028separator":            `line\u2028separator`,
		"\ufeffmark, \u200dzero width":   `\ufeffmark, \u200dzero width`,
	} {
		if got := Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
	long := strings.Repeat("é", 1<<20)
	if got := Text(long); len(got) > textLimit+40 || !strings.HasSuffix(got, "é… (2097152 bytes)") {
		t.Errorf("a text of 2 MiB is printed in %d bytes, ending in %q", len(got), got[len(got)-30:])
	}
}

// FuzzText checks that no text adds a line or a control character to the output.
func FuzzText(f *testing.F) {
	for _, s := range []string{"plain", "\x1b[1A\r\n", "\xff\u202e", "\u009b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Sprintf("%s|%v|%q|%-8s", s, errors.New(s), s, s)
		if i := strings.IndexFunc(got, hidden); i >= 0 {
			t.Fatalf("%q has a hidden character at %d", got, i)
		}
	})
}

type stringer struct{ s string }

func (s stringer) String() string { return s.s }

func TestFprintfEscapesArguments(t *testing.T) {
	var out bytes.Buffer
	err := Fprintf(&out, "%s\t%v %d %5.1f %-4s|%v %v\n", "a\nb", stringer{"c\x1b"}, 7, 2.5, "x", []string{"d\n"}, errors.Join(errors.New("e"), errors.New("f\n")))
	if want := "a\\nb\tc\\x1b 7   2.5 x   |[d\\n] e; f\\n\n"; err != nil || out.String() != want {
		t.Errorf("got %q, %v, want %q", out.String(), err, want)
	}
}

func TestLines(t *testing.T) {
	forged := errors.New("registry: no\nbundle: done")
	one := fmt.Errorf("pull a: %w", forged)
	for _, row := range []struct {
		name string
		err  error
		want []string
	}{
		{"one error", forged, []string{forged.Error()}},
		{"wrapped", one, []string{one.Error()}},
		{"joined", errors.Join(one, errors.New("b")), []string{one.Error(), "b"}},
		{"the same twice", errors.Join(one, errors.New("b"), one), []string{one.Error(), "b"}},
		{"joined, wrapped, joined", errors.Join(fmt.Errorf("read manifests: %w", errors.Join(errors.New("x"), errors.New("y"))), errors.New("z")),
			[]string{"read manifests: x", "read manifests: y", "z"}},
		{"several wrapped in a text", fmt.Errorf("%w (%w)", forged, errDisk), []string{forged.Error() + " (" + errDisk.Error() + ")"}},
		{"text after the cause", fmt.Errorf("%w (try again)", errors.Join(errors.New("x"), errors.New("y"))), []string{"x\ny (try again)"}},
	} {
		if got := Lines(row.err); !slices.Equal(got, row.want) {
			t.Errorf("%s: %q, want %q", row.name, got, row.want)
		}
	}
}

var errDisk = errors.New("disk")

// TestReportForgesNoLine prints an error whose text looks like lines of the program.
func TestReportForgesNoLine(t *testing.T) {
	var out bytes.Buffer
	err := Errorf(Damaged, "entry %s: invalid", "x\x1b[1A\nload: 3 names loaded").WithHint("copy %s again", "a\nb")
	if code := Report(&out, "load", err); code != Damaged {
		t.Errorf("code %d", code)
	}
	want := "load: error: entry x\\x1b[1A\\nload: 3 names loaded: invalid\nload: hint: copy a\\nb again\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
