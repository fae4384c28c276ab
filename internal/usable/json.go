package usable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"stowage/internal/manifest"
)

// A list is a JSON array of at most manifest.MaxDescriptors values.
type list[T any] []T

// UnmarshalJSON implements [json.Unmarshaler].
func (l *list[T]) UnmarshalJSON(raw []byte) error {
	return each(raw, '[', func(v T) error {
		if len(*l) == manifest.MaxDescriptors {
			return fmt.Errorf("a list of more than %d values", manifest.MaxDescriptors)
		}
		*l = append(*l, v)
		return nil
	})
}

// A dropped is a JSON array of values of which none is kept.
type dropped[T any] struct{}

// UnmarshalJSON implements [json.Unmarshaler].
func (dropped[T]) UnmarshalJSON(raw []byte) error {
	return each(raw, '[', func(T) error { return nil })
}

// A droppedMap is a JSON object of values of which none is kept.
type droppedMap[T any] struct{}

// UnmarshalJSON implements [json.Unmarshaler].
func (droppedMap[T]) UnmarshalJSON(raw []byte) error {
	return each(raw, '{', func(T) error { return nil })
}

// each calls f for the values of an array or an object, one after the other. null has none.
func each[T any](raw []byte, open json.Delim, f func(T) error) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	switch tok, err := dec.Token(); {
	case err != nil || tok == nil:
		return err
	case tok != open && open == '[':
		return errors.New("a value that is not a list")
	case tok != open:
		return errors.New("a value that is not an object")
	}
	for dec.More() {
		if open == '{' {
			if _, err := dec.Token(); err != nil {
				return err
			}
		}
		var v T
		if err := dec.Decode(&v); err != nil {
			return err
		}
		if err := f(v); err != nil {
			return err
		}
	}
	return nil
}
