package borders

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// public are the modules whose types may stand in exported declarations below pkg. Every
// other requirement is an implementation detail that can be replaced.
var public = []string{
	"github.com/google/go-containerregistry/pkg/authn", // an account, as every registry client takes it
	"github.com/opencontainers/go-digest",
	"github.com/opencontainers/image-spec/",
}

// TestAPIHidesRequirements looks for types of other modules in the exported declarations of
// the packages below pkg.
func TestAPIHidesRequirements(t *testing.T) {
	seen := 0
	err := filepath.WalkDir(filepath.Join("..", "..", "pkg"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "internal") {
			return err
		}
		seen++
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, path, nil, 0)
		if err != nil {
			return err
		}
		imports := imported(f)
		for _, decl := range f.Decls {
			for _, n := range signature(decl) {
				ast.Inspect(n, func(n ast.Node) bool {
					sel, ok := n.(*ast.SelectorExpr)
					if !ok {
						return true
					}
					if x, ok := sel.X.(*ast.Ident); ok && hidden(imports[x.Name]) {
						t.Errorf("%s: %s.%s of %s is part of the API", fset.Position(sel.Pos()), x.Name, sel.Sel.Name, imports[x.Name])
					}
					return true
				})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no file found below pkg")
	}
}

// hidden reports whether an import path must not appear in the API.
func hidden(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") {
		return false // the standard library, this module, or no import at all
	}
	for _, p := range public {
		if strings.HasPrefix(path, p) {
			return false
		}
	}
	return true
}

// imported maps the names of a file's imports to their paths.
func imported(f *ast.File) map[string]string {
	names := map[string]string{}
	for _, i := range f.Imports {
		path, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			continue // the parser accepts only string literals
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		if i.Name != nil {
			name = i.Name.Name
		}
		names[name] = path
	}
	return names
}

// signature returns the nodes of a declaration that callers see: parameters and results of
// exported functions and methods, exported fields, methods of exported interfaces, and the
// types of exported constants and variables.
func signature(decl ast.Decl) []ast.Node {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && (d.Recv == nil || receiverExported(d.Recv)) {
			return []ast.Node{d.Type}
		}
	case *ast.GenDecl:
		var out []ast.Node
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() {
					out = append(out, visible(s.Type)...)
				}
			case *ast.ValueSpec:
				if s.Type != nil && s.Names[0].IsExported() {
					out = append(out, s.Type)
				}
			}
		}
		return out
	}
	return nil
}

// receiverExported reports whether a method belongs to an exported type.
func receiverExported(recv *ast.FieldList) bool {
	exported := false
	ast.Inspect(recv.List[0].Type, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			exported = exported || id.IsExported()
		}
		return true
	})
	return exported
}

// visible returns the parts of a type that callers see.
func visible(e ast.Expr) []ast.Node {
	s, ok := e.(*ast.StructType)
	if !ok {
		return []ast.Node{e}
	}
	var out []ast.Node
	for _, f := range s.Fields.List {
		exported := len(f.Names) == 0
		for _, n := range f.Names {
			exported = exported || n.IsExported()
		}
		if exported {
			out = append(out, f.Type)
		}
	}
	return out
}
