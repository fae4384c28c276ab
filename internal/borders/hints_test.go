package borders

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestTroubleshootingHasEveryHint checks that docs/troubleshooting.md has the words of each
// hint of the programs: what stands between its formatted values.
func TestTroubleshootingHasEveryHint(t *testing.T) {
	root := filepath.Join("..", "..")
	raw, err := os.ReadFile(filepath.Join(root, "docs", "troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	page := plainWords(strings.ReplaceAll(string(raw), `\|`, "|"))
	hints := hintsBelow(t, root)
	const fewest = 80 // there are more; a reader of the source that finds few is broken
	if len(hints) < fewest {
		t.Errorf("found %d hints in the source, want at least %d", len(hints), fewest)
	}
	for _, h := range hints {
		for _, words := range fixedWords(h.text) {
			if !strings.Contains(page, words) {
				t.Errorf("%s: docs/troubleshooting.md lacks %q", h.position, words)
			}
		}
	}
}

// hint is a string of the source that is part of a hint.
type hint struct {
	position token.Position
	text     string
}

// hintsBelow returns the hints of the commands, and the advice of package archive, which is
// part of its messages.
func hintsBelow(t *testing.T, root string) []hint {
	t.Helper()
	var all []hint
	for _, dir := range []string{"cmd", "pkg/archive"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			files := token.NewFileSet()
			f, err := parser.ParseFile(files, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				for _, part := range hintParts(n) {
					all = append(all, literals(files, part)...)
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// explains matches the functions that return a hint.
var explains = regexp.MustCompile(`Hint$|^of[A-Z]`)

// hintParts returns the parts of a node that are hints: the text of WithHint, what is
// assigned to a field or variable for a hint, the strings of a function that returns one, and
// the constants of advice.
func hintParts(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "WithHint" {
			return []ast.Node{n.Args[0]}
		}
	case *ast.KeyValueExpr:
		if key, ok := n.Key.(*ast.Ident); ok && key.Name == "Hint" {
			return []ast.Node{n.Value}
		}
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if name, ok := left.(*ast.SelectorExpr); ok && name.Sel.Name == "Hint" && len(n.Rhs) == len(n.Lhs) {
				return []ast.Node{n.Rhs[i]}
			}
		}
	case *ast.FuncDecl:
		if n.Body != nil && explains.MatchString(n.Name.Name) {
			return []ast.Node{n.Body}
		}
	case *ast.ValueSpec:
		if strings.HasPrefix(n.Names[0].Name, "advice") {
			return []ast.Node{n}
		}
	}
	return nil
}

// literals returns the strings below a node.
func literals(files *token.FileSet, n ast.Node) []hint {
	var all []hint
	ast.Inspect(n, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		if text, err := strconv.Unquote(lit.Value); err == nil {
			all = append(all, hint{files.Position(lit.Pos()), text})
		}
		return true
	})
	return all
}

var verb = regexp.MustCompile(`%(\[\d+\])?[a-z]`)

// fixedWords returns what stands between the formatted values of a text, without what is too
// short to be recognized.
func fixedWords(text string) []string {
	parts := verb.Split(text, -1)
	for i, p := range parts {
		parts[i] = strings.Trim(plainWords(p), " ;:,.\"")
	}
	const fewest = 3
	return slices.DeleteFunc(parts, func(p string) bool { return len(strings.Fields(p)) < fewest })
}

// plainWords returns a text with single spaces and without marks of code.
func plainWords(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "`", "")), " ")
}
