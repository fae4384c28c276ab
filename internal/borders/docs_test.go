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

// TestReliabilityNamesWhatThereIs: each test and script that docs/reliability.md calls a proof
// is in the source.
func TestReliabilityNamesWhatThereIs(t *testing.T) {
	root := filepath.Join("..", "..")
	page, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	there := proofs(t, root)
	named := append(quotedTest.FindAllSubmatch(page, -1), quotedScript.FindAllSubmatch(page, -1)...)
	if len(named) == 0 {
		t.Error("it names no test at all")
	}
	for _, m := range named {
		if !there[string(m[1])] {
			t.Errorf("it names %s, which is nowhere", m[1])
		}
	}
}

// proofs are the tests, fuzz targets and scripts below root.
func proofs(t *testing.T, root string) map[string]bool {
	t.Helper()
	there := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		switch {
		case strings.HasSuffix(path, ".txtar"):
			there[filepath.Base(path)] = true
		case strings.HasSuffix(path, "_test.go"):
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range declared.FindAllSubmatch(text, -1) {
				there[string(m[1])] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return there
}
