package account

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"stowage/internal/redact"
)

// maxFile bounds a file, payload or variable, in bytes.
const maxFile = 4 << 20

// entry is one credential of a source.
type entry struct {
	key   string // as written, but printable
	scope scope
	auth  Auth
	err   error // why it is damaged; auth is empty then
}

// rule is one line of credHelpers: which helper serves a scope. An empty helper
// means that the file itself serves it.
type rule struct {
	key    string
	scope  scope
	helper string
}

// config is the accounts and helpers in a file of docker or podman.
type config struct {
	entries []entry // by key
	rules   []rule  // by key
	store   string  // credsStore
}

// parseConfig parses {"auths": {KEY: {...}}, "credsStore": "", "credHelpers": {}}
// and, when flat, the older form that is the value of auths alone. It ignores
// unknown fields whatever they hold, and accepts white space alone as an empty
// file. Errors are *FileError without a source.
func parseConfig(data []byte, flat bool) (config, error) {
	var c config
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > maxFile {
		return c, &FileError{Err: fmt.Errorf("larger than %d MiB", maxFile>>20)}
	}
	whole := bytes.TrimSpace(data)
	if len(whole) == 0 {
		return c, nil
	}
	if err := checkSyntax(data); err != nil {
		return c, err
	}
	d := document(data)
	start := bytes.IndexByte(data, whole[0])
	if flat {
		entries, err := d.entries(whole, start)
		c.entries = entries
		return c, err
	}
	err := d.object(whole, start, func(name string, value []byte, at int) (err error) {
		switch {
		case strings.EqualFold(name, "auths"):
			c.entries, err = d.entries(value, at)
		case strings.EqualFold(name, "credHelpers"):
			c.rules, err = d.rules(value, at)
		case strings.EqualFold(name, "credsStore"):
			c.store, err = d.text(value, at)
		}
		return err
	})
	return c, err
}

// checkSyntax checks all of data before any of it is used. The text of json's own
// error quotes the offending character, so only its offset is kept.
func checkSyntax(data []byte) error {
	err := json.Unmarshal(data, new(json.RawMessage))
	if err == nil {
		return nil
	}
	at := len(data)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = int(syntax.Offset) - 1 // the offset counts the offending byte
	}
	return document(data).errorAt(at, "not valid JSON")
}

// document is a complete JSON text, kept to compute positions in it.
type document []byte

// errorAt returns an error at a byte offset; lines and columns count from 1,
// columns in bytes.
func (d document) errorAt(at int, reason string) *FileError {
	before := d[:max(0, min(at, len(d)))]
	return &FileError{
		Line:   bytes.Count(before, []byte("\n")) + 1,
		Column: len(before) - bytes.LastIndexByte(before, '\n'),
		Err:    errors.New(reason),
	}
}

// object calls each with the members of value, which begins at offset at of d.
// A null has none. The caller has checked the syntax.
func (d document) object(value []byte, at int, each func(name string, value []byte, at int) error) error {
	dec := json.NewDecoder(bytes.NewReader(value))
	switch open, _ := dec.Token(); open {
	case nil:
		return nil
	case json.Delim('{'):
	default:
		return d.errorAt(at, "an object is expected here")
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return d.errorAt(at+int(dec.InputOffset()), "not valid JSON")
		}
		var member json.RawMessage
		if err := dec.Decode(&member); err != nil {
			return d.errorAt(at+int(dec.InputOffset()), "not valid JSON")
		}
		start := at + int(dec.InputOffset()) - len(member)
		if err := each(name.(string), member, start); err != nil {
			return err
		}
	}
	return nil
}

// text reads a string or null.
func (d document) text(value []byte, at int) (string, error) {
	var s string
	if err := json.Unmarshal(value, &s); err != nil {
		return "", d.errorAt(at, "a string is expected here")
	}
	return s, nil
}

// entries reads an object of credentials. A damaged credential is kept with its
// error, which matters only to repositories that would use it.
func (d document) entries(value []byte, at int) ([]entry, error) {
	found := map[string]entry{}
	err := d.object(value, at, func(key string, value []byte, at int) error {
		e := entry{key: printable(key), scope: fileScope(key)}
		e.auth, e.err = d.credential(value, at)
		if wrong, ok := e.err.(*FileError); ok {
			wrong.Err = fmt.Errorf("entry %s: %w", e.key, wrong.Err)
		}
		found[key] = e // the last of two wins, as usual in JSON
		return nil
	})
	return sortedValues(found), err
}

// rules reads the object of credHelpers.
func (d document) rules(value []byte, at int) ([]rule, error) {
	found := map[string]rule{}
	err := d.object(value, at, func(key string, value []byte, at int) error {
		helper, err := d.text(value, at)
		found[key] = rule{key: printable(key), scope: fileScope(key), helper: helper}
		return err
	})
	return sortedValues(found), err
}

func sortedValues[T any](m map[string]T) []T {
	values := make([]T, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		values = append(values, m[key])
	}
	return values
}

// credential reads one {"auth": ..., "username": ..., ...}. The field auth takes
// precedence over username and password, as in docker and the kubelet. For an entry
// without any of them (docker leaves such entries when a helper keeps the account)
// it returns the empty Auth, and for a user name alone too.
func (d document) credential(value []byte, at int) (Auth, error) {
	fields := map[string]string{}
	var authAt int
	err := d.object(value, at, func(name string, value []byte, at int) (err error) {
		name = strings.ToLower(name)
		switch name {
		case "auth":
			authAt = at
			fallthrough
		case "username", "password", "identitytoken", "registrytoken":
			fields[name], err = d.text(value, at)
		}
		return err
	})
	if err != nil {
		return Auth{}, err
	}
	if auth := fields["auth"]; auth != "" {
		user, password, ok := decodeAuth(auth)
		if !ok {
			return Auth{}, d.errorAt(authAt, "auth is not the base64 form of user:password")
		}
		fields["username"], fields["password"] = user, password
	}
	a := Auth{
		username:      redact.New(fields["username"]),
		password:      redact.New(fields["password"]),
		identityToken: redact.New(fields["identitytoken"]),
		registryToken: redact.New(fields["registrytoken"]),
	}
	if a == (Auth{username: a.username}) {
		return Auth{}, nil
	}
	return a, nil
}

// decodeAuth decodes base64(user:password), padded or not. The password may be empty
// when there is an identity token.
func decodeAuth(auth string) (user, password string, ok bool) {
	auth = strings.TrimRight(strings.TrimSpace(auth), "=")
	decoded, err := base64.RawStdEncoding.DecodeString(auth)
	if err != nil {
		return "", "", false
	}
	user, password, ok = strings.Cut(string(decoded), ":")
	// Old docker versions padded with NUL bytes; docker still trims them.
	return user, strings.Trim(password, "\x00"), ok && user != ""
}
