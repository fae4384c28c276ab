package account

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestSystemReadsOneByteTooMany(t *testing.T) {
	dir := t.TempDir()
	for size, want := range map[int]int{0: 0, maxFile: maxFile, maxFile + 1: maxFile + 1, maxFile + 4096: maxFile + 1} {
		path := filepath.Join(dir, "auth.json")
		if err := os.WriteFile(path, make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
		data, err := System(nil).ReadFile(path)
		if err != nil || len(data) != want {
			t.Errorf("%d bytes: read %d, %v; want %d", size, len(data), err, want)
		}
	}
}

func TestSystemReportsMissingFiles(t *testing.T) {
	if _, err := System(nil).ReadFile(filepath.Join(t.TempDir(), "no")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// An unusual home directory must not fail a pull without an account.
func TestOddHomes(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, ".docker", "config.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, home := range []string{"", "/dev/null", "/nonexistent", dir} {
		env := System(nil)
		env.Home, env.UID = home, -1
		env.Getenv = nil
		if _, err := Load(Options{Environment: env}); err != nil {
			t.Errorf("home %q: %v", home, err)
		}
	}
}

func TestHomeWithoutVariable(t *testing.T) {
	t.Setenv("HOME", "/home/of/a/variable")
	if got := home(); got != "/home/of/a/variable" {
		t.Errorf("got %q", got)
	}
	t.Setenv("HOME", "")
	if got := home(); got == "/home/of/a/variable" {
		t.Errorf("got %q", got) // the user database depends on the machine
	}
}

func TestTilde(t *testing.T) {
	tests := []struct{ home, path, want string }{
		{"/home/u", "/home/u/.docker/config.json", "~/.docker/config.json"},
		{"/home/u/", "/home/u/x", "~/x"},
		{"/home/u", "/home/user/x", "/home/user/x"},
		{"", "/x", "/x"},
		{"/", "/x", "~/x"},
	}
	for _, test := range tests {
		env := &Environment{Home: test.home}
		if got := env.tilde(test.path); got != test.want {
			t.Errorf("home %q: %q is %q, want %q", test.home, test.path, got, test.want)
		}
	}
}

func TestLoadOfThisProcess(t *testing.T) {
	for _, name := range []string{"DOCKER_CONFIG", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"} {
		t.Setenv(name, "")
	}
	t.Setenv("HOME", t.TempDir())
	t.Setenv("DOCKER_AUTH_CONFIG", auths("own.example", "u"))
	s, err := Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := only(users(t, s, "own.example/a")); got != "u" {
		t.Errorf("got %q, want u", got)
	}
}
