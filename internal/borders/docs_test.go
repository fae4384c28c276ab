package borders

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	quotedTest   = regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`")
	quotedScript = regexp.MustCompile("`([a-z0-9-]+\\.txtar)`")
	declared     = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)[A-Za-z0-9_]+)\(`)
)

// TestReliabilityNamesExistingTests checks that each test and script that
// docs/reliability.md names exists.
func TestReliabilityNamesExistingTests(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := proofs(t, root)
	named := append(quotedTest.FindAllSubmatch(page, -1), quotedScript.FindAllSubmatch(page, -1)...)
	if len(named) == 0 {
		t.Error("docs/reliability.md names no test")
	}
	for _, m := range named {
		if !found[string(m[1])] {
			t.Errorf("docs/reliability.md names %s, which does not exist", m[1])
		}
	}
}

// proofs returns the tests, fuzz targets and scripts below root.
func proofs(t *testing.T, root string) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch {
		case strings.HasSuffix(path, ".txtar"):
			found[filepath.Base(path)] = true
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range declared.FindAllSubmatch(text, -1) {
				found[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
