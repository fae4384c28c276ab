package clitest

import (
	"encoding/base64"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// canary wants a secret to stand in none of these places, neither plain nor in one of the
// forms it travels in: base64 at any alignment, percent encoding. A folder means every
// file below it.
//
//	canary SECRET FILE|DIR|stdout|stderr...
func canary(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: canary SECRET FILE|DIR|stdout|stderr...")
	}
	for _, place := range args[1:] {
		if place == "stdout" || place == "stderr" {
			clean(ts, args[0], place, ts.ReadFile(place))
			continue
		}
		ts.Check(filepath.WalkDir(ts.MkAbs(place), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			raw, err := os.ReadFile(path)
			clean(ts, args[0], path, string(raw))
			return err
		}))
	}
}

func clean(ts *testscript.TestScript, secret, place, text string) {
	for _, form := range disguises(secret) {
		if strings.Contains(text, form) {
			ts.Fatalf("%s holds the secret as %q", place, form)
		}
	}
}

// disguises are the forms of a secret. Of its base64 those characters are left out that
// depend on what stands before and behind it.
func disguises(secret string) []string {
	out := []string{secret, url.QueryEscape(secret)}
	for before := range 3 {
		enc := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", before) + secret))
		enc = strings.TrimRight(enc, "=")
		first := []int{0, 2, 3}[before]
		last := len(enc)
		if (before+len(secret))%3 != 0 {
			last--
		}
		out = append(out, enc[first:last])
	}
	return out
}
