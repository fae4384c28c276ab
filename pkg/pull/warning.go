package pull

import (
	"net/http"
	"strings"
)

// maxWarnings bounds what is remembered of warnings, and so how many are shown.
const maxWarnings = 200

// showWarnings tells the user what a registry wants to be told, each text once
// (distribution-spec 1.1, "Warnings").
func (c *Client) showWarnings(host string, h http.Header) {
	for _, v := range h.Values("Warning") {
		text, ok := warning(v)
		if !ok {
			continue
		}
		key := host + "\x00" + text
		c.mu.Lock()
		news := !c.warned[key] && len(c.warned) < maxWarnings
		if news {
			c.warned[key] = true
		}
		c.mu.Unlock()
		if news {
			c.report(Event{Host: host, Text: "the registry warns: " + text})
		}
	}
}

// warning reads `299 - "text"`, the only form the specification has.
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
