// Package redact holds the one value that does not print: a password, a token, or the
// payload of a secret. However it is formatted, logged or encoded, [Text] appears instead.
package redact

import (
	"fmt"
	"log/slog"
	"unique"
)

// Text is printed in place of every value.
const Text = "[redacted]"

// Value carries a string that formatting, logging and encoding never show. Make one with
// [New]; the zero value is empty. Values can be compared: equal strings are equal values.
//
// The field is a pointer to a string, because some paths of package fmt (%p, %w, verbs
// that do not fit, unexported fields of other structs) walk the fields of a struct without
// calling its methods. They print such a pointer as an address at every depth; a pointer
// to a struct they would follow.
type Value struct{ handle unique.Handle[string] }

// New returns s as a Value.
func New(s string) Value {
	if s == "" {
		return Value{}
	}
	return Value{unique.Make(s)}
}

// Empty reports whether the string is empty.
func (v Value) Empty() bool { return v == Value{} }

// Equal reports whether both hold the same string. It is == for packages that compare
// structs by their methods, as go-cmp does.
func (v Value) Equal(other Value) bool { return v == other }

// Reveal returns the string itself, which is no longer protected against printing.
func (v Value) Reveal() string {
	if v.Empty() {
		return ""
	}
	return v.handle.Value()
}

// String returns [Text], for an empty value too.
func (Value) String() string { return Text }

// GoString returns [Text].
func (Value) GoString() string { return Text }

// Format prints [Text], whatever the verb.
func (Value) Format(f fmt.State, verb rune) { Format(f, verb, Text) }

// MarshalJSON returns [Text] as a JSON string.
func (Value) MarshalJSON() ([]byte, error) { return []byte(`"` + Text + `"`), nil }

// MarshalText returns [Text].
func (Value) MarshalText() ([]byte, error) { return []byte(Text), nil }

// MarshalYAML returns [Text]. It implements the Marshaler of gopkg.in/yaml.v3.
func (Value) MarshalYAML() (any, error) { return Text, nil }

// LogValue returns [Text] as a string.
func (Value) LogValue() slog.Value { return slog.StringValue(Text) }

// Format prints text with the flags and the verb of f, for the Format method of types that
// hold a Value. For a verb that does not fit a string package fmt prints its usual
// complaint about text, which is safe to show.
func Format(f fmt.State, verb rune, text string) {
	fmt.Fprintf(f, fmt.FormatString(f, verb), text)
}
