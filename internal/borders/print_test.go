package borders

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// TestCommandsPrintThroughOneFunction looks for direct uses of fmt's printing functions in
// the commands. cmd/internal/cli.Fprintf prints lines for people: it escapes what came from
// outside. JSON goes through encoding/json.
func TestCommandsPrintThroughOneFunction(t *testing.T) {
	seen := 0
	for _, dir := range []string{"bundle", "load", "internal/progress"} {
		files, err := filepath.Glob(filepath.Join("..", "..", "cmd", dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			seen++
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, path, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok && printsDirectly(sel) {
					t.Errorf("%s: fmt.%s: print with cli.Fprintf", fset.Position(sel.Pos()), sel.Sel.Name)
				}
				return true
			})
		}
	}
	if seen < 20 {
		t.Errorf("%d files found below cmd", seen)
	}
}

func printsDirectly(sel *ast.SelectorExpr) bool {
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == "fmt" && (strings.HasPrefix(sel.Sel.Name, "Fprint") || strings.HasPrefix(sel.Sel.Name, "Print"))
}
