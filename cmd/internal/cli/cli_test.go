package cli

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	cause := errors.New("connection reset")
	refused := Errorf(Refused, "pull a: %w", cause).WithHint("log in with %q", "docker login a")
	tests := []struct {
		name string
		err  error
		code int
		want string
	}{
		{"nothing", nil, 0, ""},
		{"plain", cause, Failed, "p: error: connection reset\n"},
		{"with a hint", refused, Refused, "p: error: pull a: connection reset\np: hint: log in with \"docker login a\"\n"},
		{"wrapped", fmt.Errorf("run: %w", refused), Refused, "p: error: run: pull a: connection reset\np: hint: log in with \"docker login a\"\n"},
		{"several", errors.Join(cause, errors.New("disk full")), Failed, "p: error: connection reset\np: error: disk full\n"},
		{"the same twice", errors.Join(cause, errors.New("x"), cause), Failed, "p: error: connection reset\np: error: x\n"},
		{"several with a code", &Error{Code: Incomplete, Err: errors.Join(errors.New("a"), errors.New("b")), Hint: "h"}, Incomplete, "p: error: a\np: error: b\np: hint: h\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b strings.Builder
			if code := Report(&b, "p", tt.err); code != tt.code || b.String() != tt.want {
				t.Errorf("got %d, %q, want %d, %q", code, b.String(), tt.code, tt.want)
			}
		})
	}
	if !errors.Is(refused, cause) {
		t.Error("the cause is lost")
	}
}

// TestExitCodes: the help text lists every code once, in order.
func TestExitCodes(t *testing.T) {
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^  (\d)  `).FindAllStringSubmatch(ExitCodes, -1) {
		got = append(got, m[1])
	}
	want := fmt.Sprint([]int{OK, Failed, Usage, Incomplete, RateLimited, Refused, Damaged, NoNode})
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBytes(t *testing.T) {
	tests := map[int64]string{
		0: "0 B", 1: "1 B", 999: "999 B", 1000: "1.0 kB", 1001: "1.0 kB", 1949: "1.9 kB", 1951: "2.0 kB",
		999_949: "999.9 kB", 999_950: "1.0 MB", 1_000_000: "1.0 MB", 259_000_000: "259.0 MB",
		999_949_999: "999.9 MB", 999_950_000: "1.0 GB", 4 << 30: "4.3 GB", math.MaxInt64: "9.2 EB",
	}
	for n, want := range tests {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d): got %q, want %q", n, got, want)
		}
	}
}

func TestTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for name, w := range map[string]io.Writer{"a file": f, "a builder": &strings.Builder{}, "nothing": nil} {
		if Terminal(w) {
			t.Errorf("%s counts as a terminal", name)
		}
	}
}

func TestVersionString(t *testing.T) {
	was := Version
	t.Cleanup(func() { Version = was })
	Version = "v1.2.3"
	if got := VersionString(); got != "v1.2.3" {
		t.Errorf("got %q", got)
	}
	Version = ""
	if got := VersionString(); got == "" {
		t.Error("no version")
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 images", 1: "1 image", 2: "2 images"} {
		if got := Count(n, "image"); got != want {
			t.Errorf("Count(%d) = %q, want %q", n, got, want)
		}
	}
}
