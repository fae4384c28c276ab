package redact

import (
	"regexp"
	"strings"
)

// address matches an address with a scheme: up to the account, the account, the host and the
// path, the query.
var address = regexp.MustCompile(`([A-Za-z][A-Za-z0-9+.-]*://)([^\s/?#"'<>]*@)?([^\s?#"'<>]*)(\?[^\s#"'<>]*)?`)

// Addresses returns text with the account and the query of every address replaced by [Text]:
// both may be credentials. Presigned addresses of blobs carry a signature in their query,
// private manifests a token.
func Addresses(text string) string {
	return address.ReplaceAllStringFunc(text, func(found string) string {
		part := address.FindStringSubmatch(found)
		out := part[1]
		if part[2] != "" {
			out += Text + "@"
		}
		out += part[3]
		if part[4] != "" {
			// A colon or comma at its end is that of the sentence.
			out += "?" + Text + part[4][len(strings.TrimRight(part[4], ":,")):]
		}
		return out
	})
}

// Error returns an error with the text of err as [Addresses] returns it, which wraps err.
func Error(err error) error { return &cleanError{err} }

type cleanError struct{ error }

func (e *cleanError) Error() string { return Addresses(e.error.Error()) }
func (e *cleanError) Unwrap() error { return e.error }
