package scan

import (
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestBorder holds what this package may be made of: the standard library without network
// and processes, the YAML parser, and the reference grammar.
func TestBorder(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	linked := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			path := strings.Trim(imp.Path.Value, `"`)
			linked[path] = true
			switch {
			case path == "gopkg.in/yaml.v3", path == "github.com/distribution/reference":
			case strings.Contains(path, "."), path == "os", strings.HasPrefix(path, "os/"), strings.HasPrefix(path, "net"), path == "log":
				t.Errorf("%s imports %s", file, path)
			}
		}
	}
	// A test always has these two linked in, a program may not; without them no reference
	// with a digest is one.
	if !linked["crypto/sha256"] || !linked["crypto/sha512"] {
		t.Error("the algorithms of digests are not imported")
	}
}
