package account

import (
	"fmt"
	"log/slog"
	"unique"
)

// redacted stands wherever a value would have been printed.
const redacted = "[hidden]"

// Hidden carries a value that nothing prints: a password, a token, or the payload
// of a secret. Make one with [Hide]; the zero value is empty. Equal values are
// equal as Hidden.
//
// Inside is a pointer to a string, because some paths of fmt (%p, %w, unfit
// verbs, private fields of other structs) walk the fields without asking for
// methods. They show such a pointer as an address, everywhere; one to a struct
// they would follow.
type Hidden struct{ handle unique.Handle[string] }

// Hide wraps s.
func Hide(s string) Hidden {
	if s == "" {
		return Hidden{}
	}
	return Hidden{unique.Make(s)}
}

// Empty reports whether there is nothing inside.
func (h Hidden) Empty() bool { return h == Hidden{} }

func (h Hidden) reveal() string {
	if h.Empty() {
		return ""
	}
	return h.handle.Value()
}

// String gives a fixed word.
func (h Hidden) String() string { return redacted }

// GoString gives a fixed word.
func (h Hidden) GoString() string { return redacted }

// Format prints a fixed word, whatever the verb.
func (h Hidden) Format(f fmt.State, verb rune) { formatText(f, verb, redacted) }

// MarshalJSON gives a fixed word.
func (h Hidden) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText gives a fixed word.
func (h Hidden) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue gives a fixed word.
func (h Hidden) LogValue() slog.Value { return slog.StringValue(redacted) }

// formatText prints text with the flags and verb asked for. A verb that does not
// fit a string gives fmt's usual complaint about text, which is safe to show.
func formatText(f fmt.State, verb rune, text string) {
	fmt.Fprintf(f, fmt.FormatString(f, verb), text)
}
