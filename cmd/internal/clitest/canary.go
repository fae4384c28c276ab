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

// canary fails if a secret occurs in one of these places, plain or in a form in which it is
// sent: base64 at any alignment, percent encoding. A directory means every file below it.
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
	for _, form := range encodings(secret) {
		if strings.Contains(text, form) {
			ts.Fatalf("%s contains the secret as %q", place, form)
		}
	}
}

// encodings returns the encodings of a secret. Its base64 omits the characters that depend
// on the bytes before and after it.
func encodings(secret string) []string {
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
