package fsutil

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestReplace(t *testing.T) {
	broken := errors.New("broken")
	write := func(text string, err error) func(*os.File) error {
		return func(f *os.File) error {
			_, werr := f.WriteString(text)
			return errors.Join(werr, err)
		}
	}
	for _, tt := range []struct {
		name  string
		check func(string) error
		write func(*os.File) error
		err   error
		want  string
	}{
		{"replaced", nil, write("new", nil), nil, "new"},
		{"write fails", nil, write("half", broken), broken, "old"},
		{"check fails", func(string) error { return broken }, write("new", nil), broken, "old"},
		{"check passes", func(p string) error { _, err := os.Stat(p); return err }, write("new", nil), nil, "new"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := Replace(path, ReplaceOptions{Check: tt.check}, tt.write); !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			got, err := os.ReadFile(path)
			if err != nil || string(got) != tt.want {
				t.Errorf("the file holds %q, %v, want %q", got, err, tt.want)
			}
			entries, err := os.ReadDir(filepath.Dir(path))
			if err != nil || len(entries) != 1 {
				t.Errorf("left in the directory: %v, %v", entries, err)
			}
		})
	}
}

// TestReplaceElsewhere writes the temporary file in another directory.
func TestReplaceElsewhere(t *testing.T) {
	dir, target := t.TempDir(), filepath.Join(t.TempDir(), "file")
	var seen string
	opts := ReplaceOptions{Dir: dir, Pattern: "staged-*", Check: func(p string) error { seen = p; return nil }}
	if err := Replace(target, opts, func(f *os.File) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if match, _ := filepath.Match("staged-*", filepath.Base(seen)); filepath.Dir(seen) != dir || !match {
		t.Errorf("written to %s, want it in %s", seen, dir)
	}
	if info, err := os.Stat(target); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestReplaceMissingDirectory returns the error of the system.
func TestReplaceMissingDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "missing", "file")
	if err := Replace(path, ReplaceOptions{}, func(*os.File) error { return nil }); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}
