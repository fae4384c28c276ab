package signature

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

// Key is a public key. It is made by [ParseKeys].
type Key struct {
	// Name is who signs with it: the principals of an allowed_signers file, otherwise the
	// name of the file.
	Name string

	public        crypto.PublicKey // of a PEM file, or nil
	blob          []byte           // of an SSH key, or nil
	namespaces    []string         // patterns of an SSH key; none: any namespace
	after, before time.Time        // while an SSH key is valid; zero: no limit
}

// same reports whether two keys are one.
func (k Key) same(o Key) bool {
	if k.blob != nil || o.blob != nil {
		return bytes.Equal(k.blob, o.blob)
	}
	switch public := k.public.(type) {
	case ed25519.PublicKey:
		return public.Equal(o.public)
	case *ecdsa.PublicKey:
		return public.Equal(o.public)
	}
	return false
}

// validAt reports whether the key may sign bundles at a time.
func (k Key) validAt(now time.Time) bool {
	if !k.after.IsZero() && now.Before(k.after) || !k.before.IsZero() && !now.Before(k.before) {
		return false
	}
	return len(k.namespaces) == 0 || slices.ContainsFunc(k.namespaces, func(pattern string) bool {
		ok, err := path.Match(pattern, Namespace)
		return err == nil && ok
	})
}

// ParseKeys reads public keys: PEM blocks (Ed25519, ECDSA), a .pub file of ssh-keygen, or an
// allowed_signers file (ssh-keygen(1), "ALLOWED SIGNERS") with the options namespaces,
// valid-after and valid-before. Certificate authorities are refused. name is that of the file.
func ParseKeys(name string, file []byte) ([]Key, error) {
	var keys []Key
	var err error
	if bytes.Contains(file, []byte("-----BEGIN ")) {
		keys, err = parsePublic(name, file)
	} else {
		keys, err = parseAllowed(name, file)
	}
	if err == nil && len(keys) == 0 {
		err = errors.New("no public key in it")
	}
	if err != nil {
		return nil, fmt.Errorf("read keys from %s: %w", name, err)
	}
	return keys, nil
}

// parsePublic reads PEM blocks.
func parsePublic(name string, file []byte) ([]Key, error) {
	var keys []Key
	for {
		block, rest := pem.Decode(file)
		if block == nil {
			if len(bytes.TrimSpace(rest)) > 0 {
				return nil, errors.New("text that is no PEM block")
			}
			return keys, nil
		}
		file = rest
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("a PEM block %q is no public key", block.Type)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		switch public.(type) {
		case ed25519.PublicKey, *ecdsa.PublicKey:
			keys = append(keys, Key{Name: name, public: public})
		default:
			return nil, errors.New("a key is neither Ed25519 nor ECDSA")
		}
	}
}

// parseAllowed reads lines with an SSH key each.
func parseAllowed(name string, file []byte) ([]Key, error) {
	var keys []Key
	for i, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := parseLine(name, line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func parseLine(name, line string) (Key, error) {
	words := splitLine(line)
	key := Key{Name: name}
	if len(words) > 0 && !isKeyType(words[0]) {
		key.Name, words = words[0], words[1:]
		if len(words) > 0 && !isKeyType(words[0]) {
			if err := key.setOptions(words[0]); err != nil {
				return Key{}, err
			}
			words = words[1:]
		}
	}
	if len(words) < 2 || !isKeyType(words[0]) {
		return Key{}, errors.New("want PRINCIPALS [OPTIONS] TYPE KEY")
	}
	blob, err := base64.StdEncoding.DecodeString(words[1])
	if err != nil {
		return Key{}, fmt.Errorf("the key is not base64: %w", err)
	}
	if f := (&fields{rest: blob}); f.string() != words[0] {
		return Key{}, fmt.Errorf("the key is not of type %q", words[0])
	}
	key.blob = blob
	return key, nil
}

// splitLine splits at spaces outside of double quotes.
func splitLine(line string) []string {
	quoted := false
	return strings.FieldsFunc(line, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '\t')
	})
}

// isKeyType reports whether a word is a type of SSH keys that this package verifies.
func isKeyType(word string) bool {
	return word == sshEd25519 || word == sshSKEd25519 || word == sshRSA || sshCurves[word] != nil
}

// setOptions reads the options of a line. An unknown one is an error, because it may limit
// the key.
func (k *Key) setOptions(list string) error {
	quoted := false
	for _, option := range strings.FieldsFunc(list, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && r == ','
	}) {
		name, value, _ := strings.Cut(option, "=")
		value = strings.Trim(value, `"`)
		var err error
		switch strings.ToLower(name) {
		case "namespaces":
			k.namespaces = strings.Split(value, ",")
		case "valid-after":
			k.after, err = parseTime(value)
		case "valid-before":
			k.before, err = parseTime(value)
		case "cert-authority":
			err = errors.New("certificate authorities are not supported: list the keys themselves")
		default:
			err = fmt.Errorf("unknown option %q", name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// parseTime reads a time of ssh-keygen: local time, or UTC with the suffix Z.
func parseTime(text string) (time.Time, error) {
	zone := time.Local
	digits, utc := strings.CutSuffix(text, "Z")
	if utc {
		zone = time.UTC
	}
	for _, layout := range []string{"20060102", "200601021504", "20060102150405"} {
		if t, err := time.ParseInLocation(layout, digits, zone); err == nil && len(digits) == len(layout) {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("time %q: want YYYYMMDD[HHMM[SS]][Z]", text)
}
