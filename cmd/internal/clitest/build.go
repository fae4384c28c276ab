package clitest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

var built struct {
	once sync.Once
	dir  string
	err  error
}

// Programs returns a directory with bundle and load as the Makefile builds them: static,
// and without the race detector, which changes memory use and time. It builds them at the
// first call; [Clean] removes them.
func Programs(t testing.TB) string {
	t.Helper()
	built.once.Do(func() { built.dir, built.err = build() })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir
}

// Clean removes what [Programs] built. TestMain calls it at the end.
func Clean() {
	if built.dir != "" {
		os.RemoveAll(built.dir) // temporary
	}
}

func build() (string, error) {
	dir, err := os.MkdirTemp("", "stowage-programs-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", dir+string(filepath.Separator), "stowage/cmd/bundle", "stowage/cmd/load")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if out, err := cmd.CombinedOutput(); err != nil {
		os.RemoveAll(dir) // temporary
		return "", fmt.Errorf("go build: %w\n%s", err, strings.TrimSpace(string(out)))
	}
	// Some tests run them as another user.
	return dir, os.Chmod(dir, 0o755)
}
