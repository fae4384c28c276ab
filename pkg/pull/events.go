package pull

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// Event is something the user should know about that is not an error: a retry, a failed
// mirror, a wait for a pull limit.
type Event struct {
	Host string        // the registry concerned
	Text string        // what happened, lower case, one line
	Wait time.Duration // how long the client waits now; 0 when it continues at once
}

// events reports to the user.
type events struct {
	on func(Event) // may be nil

	mu       sync.Mutex
	reported map[string]bool // texts that are reported once only
	warnings int             // of registries, reported
}

func (e *events) report(ev Event) {
	if e.on != nil {
		e.on(ev)
	}
}

// once reports ev unless an event with the same key has been reported.
func (e *events) once(key string, ev Event) {
	e.mu.Lock()
	known := e.reported[key]
	e.reported[key] = true
	e.mu.Unlock()
	if !known {
		e.report(ev)
	}
}

// maxWarnings bounds how many warnings of registries are remembered and reported.
const maxWarnings = 200

// reportWarnings reports the warnings in the header of an answer, each text once
// (distribution-spec 1.1, "Warnings").
func (e *events) reportWarnings(host string, h http.Header) {
	for _, v := range h.Values("Warning") {
		text, ok := warning(v)
		if !ok {
			continue
		}
		key := host + "\x00" + text
		e.mu.Lock()
		report := !e.reported[key] && e.warnings < maxWarnings
		if report {
			e.reported[key] = true
			e.warnings++
		}
		e.mu.Unlock()
		if report {
			e.report(Event{Host: host, Text: "the registry warns: " + text})
		}
	}
}

// warning reads `299 - "text"`, the only form in the specification.
func warning(s string) (string, bool) {
	rest, ok := strings.CutPrefix(strings.TrimSpace(s), "299 ")
	if !ok {
		return "", false
	}
	_, quoted, ok := strings.Cut(strings.TrimSpace(rest), " ")
	quoted = strings.TrimSpace(quoted)
	if !ok || len(quoted) < 2 || quoted[0] != '"' {
		return "", false
	}
	var b strings.Builder
	for i := 1; i < len(quoted); i++ {
		switch c := quoted[i]; {
		case c == '"':
			text := oneLine(b.String())
			return text, text != ""
		case c == '\\' && i+1 < len(quoted):
			i++
			b.WriteByte(quoted[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", false
}
