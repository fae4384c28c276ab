package redact

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

const canary = "canary-9f3c"

func TestValue(t *testing.T) {
	if !(Value{}).Empty() || !New("").Empty() || New("x").Empty() {
		t.Error("Empty is wrong")
	}
	if New("x").Reveal() != "x" || (Value{}).Reveal() != "" {
		t.Error("Reveal does not return the string")
	}
	if x, again := New("x"), New("x"); x != again || x == New("y") || New("") != (Value{}) {
		t.Error("values do not compare as their strings")
	}
	if fmt.Sprint(Value{}) != fmt.Sprint(New("x")) {
		t.Error("an empty value prints differently")
	}
}

// holders puts a value wherever a caller may have one.
func holders() map[string]any {
	v := New(canary)
	return map[string]any{
		"value": v, "pointer": &v, "exported field": struct{ V Value }{v}, "unexported field": struct{ v Value }{v},
		"pointer field": struct{ v *Value }{&v}, "slice": []Value{v}, "map": map[string]Value{"k": v},
		"map key": map[Value]int{v: 1}, "any": []any{v, &v}, "error": fmt.Errorf("x: %v", v),
	}
}

func TestFormattingShowsNothing(t *testing.T) {
	for name, holder := range holders() {
		for _, flags := range []string{"", "+", "#", " ", "-80.200"} {
			for _, verb := range "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
				format := "%" + flags + string(verb)
				if text := fmt.Sprintf(format, holder); leaks(text) {
					t.Errorf("%s with %s: %.200s", name, format, text)
				}
			}
		}
	}
	if got, want := fmt.Sprintf("%s|%v|%#v|%q|%-12s|", New("a"), New("b"), New("c"), New("d"), New("e")),
		`[redacted]|[redacted]|"[redacted]"|"[redacted]"|[redacted]  |`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestEncodingShowsNothing(t *testing.T) {
	encoders := map[string]func(any) ([]byte, error){"json": json.Marshal, "yaml": yaml.Marshal, "xml": xml.Marshal}
	for name, holder := range holders() {
		for encoder, marshal := range encoders {
			out, err := marshal(holder)
			if leaks(string(out)) || err != nil && leaks(err.Error()) {
				t.Errorf("%s as %s: %s, %v", name, encoder, out, err)
			}
		}
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", holder)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", holder)
		if leaks(log.String()) {
			t.Errorf("%s in a log: %s", name, log.String())
		}
	}
	for encoder, want := range map[string]string{"json": `"[redacted]"`, "yaml": "'[redacted]'\n", "xml": "<Value>[redacted]</Value>"} {
		if got, err := encoders[encoder](New(canary)); err != nil || string(got) != want {
			t.Errorf("%s: got %s, %v, want %s", encoder, got, err, want)
		}
	}
}

func leaks(text string) bool {
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), fmt.Sprint([]byte(canary))[1:20]} {
		if strings.Contains(text, form) {
			return true
		}
	}
	return false
}
