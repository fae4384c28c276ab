package redact

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestAddresses(t *testing.T) {
	tests := map[string]string{
		"":                         "",
		"no address: a?b@c":        "no address: a?b@c",
		"https://h/p":              "https://h/p",
		"https://h/p?":             "https://h/p?[redacted]",
		"https://h/p?t=canary":     "https://h/p?[redacted]",
		"https://h/p?t=canary#f":   "https://h/p?[redacted]#f",
		"https://u:canary@h:1/p":   "https://[redacted]@h:1/p",
		"https://canary@h":         "https://[redacted]@h",
		"https://h/r@sha256:00":    "https://h/r@sha256:00",
		"docker://u:canary@h/i:v1": "docker://[redacted]@h/i:v1",
		"r=https://u:canary@h/x":   "r=https://[redacted]@h/x",
		`Get "https://h/p?t=canary&u=canary": EOF, then 'http://u:canary@h?canary'.`: `Get "https://h/p?[redacted]": EOF, then 'http://[redacted]@h?[redacted]'.`,
	}
	for in, want := range tests {
		got := Addresses(in)
		if got != want || strings.Contains(got, "canary") {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
		if again := Addresses(got); again != got {
			t.Errorf("%s: the second time %s", got, again)
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("EOF")
	err := Error(fmt.Errorf("get https://u:canary@h/p?canary: %w", cause))
	if !errors.Is(err, cause) || err.Error() != "get https://[redacted]@h/p?[redacted]: EOF" {
		t.Errorf("got %v", err)
	}
}
