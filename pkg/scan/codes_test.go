package scan_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stowage/pkg/scan"
)

// TestCodes checks that every code has a description, and that docs/scan.md has the same texts.
func TestCodes(t *testing.T) {
	codes := map[scan.Code]bool{}
	for _, c := range declaredCodes(t) {
		codes[c] = true
	}
	var rows []scan.CodeText
	page, err := os.ReadFile("../../docs/scan.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| code | meaning | what to do |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z-]+)` \\| (.+) \\| (.+) \\|$").FindAllStringSubmatch(table, -1) {
		rows = append(rows, scan.CodeText{Code: scan.Code(m[1]), Meaning: unmarked(m[2]), Action: unmarked(m[3])})
	}
	if diff := cmp.Diff(rows, scan.Codes()); diff != "" {
		t.Errorf("docs/scan.md (-) and Codes (+) differ:\n%s", diff)
	}
	for _, k := range scan.Codes() {
		if !codes[k.Code] {
			t.Errorf("%s: no such code, or a second description", k.Code)
		}
		delete(codes, k.Code)
	}
	for c := range codes {
		t.Errorf("%s has no description", c)
	}
}

// unmarked returns a text without the markup of the table.
func unmarked(s string) string {
	return strings.NewReplacer("`", "", "**", "").Replace(s)
}

// declaredCodes returns the constants of the type Code.
func declaredCodes(t *testing.T) []scan.Code {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "warning.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var codes []scan.Code
	ast.Inspect(f, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == "Code" {
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			codes = append(codes, scan.Code(value))
		}
		return true
	})
	if len(codes) == 0 {
		t.Fatal("warning.go declares no code")
	}
	return codes
}
