package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestCheck damages a directory in every way that a power cut can.
func TestCheck(t *testing.T) {
	intact := map[string]string{"a": "first", "dir/b": "second", "empty": ""}
	for _, row := range []struct {
		name  string
		spoil func(dir string) error
		want  string // in the error; empty: none
	}{
		{"intact", func(string) error { return nil }, ""},
		{"cut to nothing", func(dir string) error { return os.Truncate(filepath.Join(dir, "a"), 0) }, "a: digest"},
		{"one byte short", func(dir string) error { return os.Truncate(filepath.Join(dir, "dir/b"), 5) }, "dir/b: digest"},
		{"zeros of the same size", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "a"), make([]byte, 5), 0o600)
		}, "a: digest"},
		{"missing", func(dir string) error { return os.Remove(filepath.Join(dir, "empty")) }, "no such file"},
		{"list missing", func(dir string) error { return os.Remove(filepath.Join(dir, "files.sha256")) }, "no such file"},
		{"list empty", func(dir string) error { return os.Truncate(filepath.Join(dir, "files.sha256"), 0) }, "empty"},
		{"list spoilt", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "files.sha256"), []byte("\x00\x00\n"), 0o600)
		}, "want a digest and a path"},
	} {
		t.Run(row.name, func(t *testing.T) {
			dir := t.TempDir()
			fill(t, dir, intact)
			if err := row.spoil(dir); err != nil {
				t.Fatal(err)
			}
			n, err := check(dir)
			if row.want == "" && (err != nil || n != len(intact)) {
				t.Errorf("check = %d, %v, want %d", n, err, len(intact))
			}
			if row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Errorf("check = %d, %v, want %q in the error", n, err, row.want)
			}
		})
	}
}

// fill creates the files and their list.
func fill(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	var list strings.Builder
	for name, body := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256([]byte(body)), name)
	}
	if err := os.WriteFile(filepath.Join(dir, "files.sha256"), []byte(list.String()), 0o600); err != nil {
		t.Fatal(err)
	}
}
