//go:build linux

package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/url"
	"os"
	"slices"
)

// The account of every registry of a soak. The password is unique, so it is found wherever
// it appears.
const (
	soakUser     = "carrier"
	soakPassword = "Xq7SoakPassw0rdZz93"
)

// tokenMark is part of every token that the registry issues.
const tokenMark = "-token-"

// needles are the forms in which a credential might appear: plain, escaped, and in base64,
// where it depends on its position in a group of three bytes.
func needles(user, password string) [][]byte {
	list := [][]byte{[]byte(password), []byte(url.QueryEscape(password))}
	for _, text := range []string{password, user + ":" + password} {
		for shift := range 3 {
			// The text before fills a group; the first and the last group depend on the
			// surrounding bytes and are omitted.
			code := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), text...))
			list = append(list, []byte(code[4:len(code)-4]))
		}
	}
	for _, kind := range []string{"access", "refresh"} {
		list = append(list, []byte(kind+tokenMark))
	}
	slices.SortFunc(list, bytes.Compare)
	return slices.CompactFunc(list, bytes.Equal)
}

var secrets = needles(soakUser, soakPassword)

// leaks returns an error if a credential is in the bytes.
func leaks(where string, b []byte) error {
	for _, n := range secrets {
		if i := bytes.Index(b, n); i >= 0 {
			return fmt.Errorf("credential in %s at byte %d (%q)", where, i, b[i:i+len(n)])
		}
	}
	return nil
}

// leaksInFile is leaks for a file, which may not exist.
func leaksInFile(path string) error {
	b, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return leaks(path, b)
}
