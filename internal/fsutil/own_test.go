//go:build unix

package fsutil

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"stowage/internal/need"
)

// stranger is the other user of these tests, who prepares files.
const stranger = 65534

func TestOpenOwn(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "target")
	write := func(path string) {
		t.Helper()
		if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(target)
	for _, tt := range []struct {
		name   string
		make   func(path string) error
		reason string // of the NotOwnError; "" if the file is opened
		root   bool   // the case needs root
	}{
		{"new", func(string) error { return nil }, "", false},
		{"own", func(path string) error { write(path); return nil }, "", false},
		{"link", func(path string) error { return os.Symlink(target, path) }, "is a symbolic link", false},
		{"dangling link", func(path string) error { return os.Symlink("nowhere", path) }, "is a symbolic link", false},
		{"hard link", func(path string) error { return os.Link(target, path) }, "has another name", false},
		{"FIFO", func(path string) error { return syscall.Mkfifo(path, 0o600) }, "is not a regular file", false},
		{"of another user", func(path string) error { write(path); return os.Chown(path, stranger, stranger) }, "belongs to uid 65534", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.root {
				need.Root(t, "own files as another user")
			}
			path := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
			if err := tt.make(path); err != nil {
				t.Fatal(err)
			}
			f, err := OpenOwn(path, os.O_RDWR|os.O_CREATE, 0o666)
			if err == nil {
				f.Close()
			}
			var e *NotOwnError
			if tt.reason == "" && err != nil || tt.reason != "" && (!errors.As(err, &e) || !strings.HasPrefix(e.Reason, tt.reason)) {
				t.Errorf("OpenOwn returned %v, want %q", err, tt.reason)
			}
		})
	}
	if got, err := os.ReadFile(target); err != nil || string(got) != "text" {
		t.Errorf("the target of the links holds %q, %v", got, err)
	}
}

func TestResolveOutput(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	link := func(target, name string) {
		t.Helper()
		if err := os.Symlink(target, at(name)); err != nil {
			t.Fatal(err)
		}
	}
	link("file", "own")
	link("own", "chain")
	link("loop", "loop")
	link(at("file"), "absolute")
	for name, want := range map[string]string{"file": "file", "own": "file", "chain": "file", "absolute": "file"} {
		if got, err := ResolveOutput(at(name)); err != nil || filepath.Clean(got) != at(want) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	if _, err := ResolveOutput(at("loop")); err == nil {
		t.Error("a link to itself was resolved")
	}
	need.Root(t, "own files as another user")
	link("file", "theirs")
	if err := os.Lchown(at("theirs"), stranger, stranger); err != nil {
		t.Fatal(err)
	}
	link("theirs", "through")
	for _, name := range []string{"theirs", "through"} {
		var e *NotOwnError
		if got, err := ResolveOutput(at(name)); !errors.As(err, &e) || e.Path != at("theirs") {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// TestModes: a file that is replaced keeps its mode, a new one has the mode it is to have
// less the umask, and permission to write is not taken over from another user's file.
func TestModes(t *testing.T) {
	for _, tt := range []struct {
		name  string
		old   os.FileMode // 0: no file
		owner int
		new   os.FileMode
		want  os.FileMode
	}{
		{"private", 0o600, 0, 0, 0o600},
		{"shared", 0o664, 0, 0, 0o664},
		{"new", 0, 0, 0, 0o644 &^ umask},
		{"new and private", 0, 0, 0o600, 0o600},
		{"of another user", 0o666, stranger, 0, 0o644},
		{"private, of another user", 0o600, stranger, 0, 0o600},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.owner != 0 {
				need.Root(t, "own files as another user")
			}
			path := filepath.Join(t.TempDir(), "file")
			if tt.old != 0 {
				if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, tt.old)); err != nil {
					t.Fatal(err)
				}
			}
			if tt.owner != 0 {
				if err := os.Chown(path, tt.owner, tt.owner); err != nil {
					t.Fatal(err)
				}
			}
			if err := Replace(path, ReplaceOptions{Mode: tt.new}, func(*os.File) error { return nil }); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != tt.want {
				t.Errorf("mode %v, %v, want %v", info.Mode(), err, tt.want)
			}
			if stat := info.Sys().(*syscall.Stat_t); int(stat.Uid) != os.Geteuid() {
				t.Errorf("owner %d", stat.Uid)
			}
		})
	}
}
