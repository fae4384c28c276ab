//go:build linux

package document_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"stowage/cmd/internal/document"
)

// root is the directory of the module.
var root = filepath.Join("..", "..", "..")

const intro = `# JSON of both programs

<!-- Written by go test ./cmd/internal/document -update from the Go types. -->

Every document that "bundle" and "load" write in JSON is one object whose first field is the version of this schema,
` + "`\"schema\": %d`" + `. The version changes when a field is renamed or removed or its meaning changes. Fields, codes and events
may be added without a change, so a reader ignores what it does not know.

- A field has the same name and the same kind of value in every document.
- A list has a plural name, and the number of things ends in ` + "`Count`" + `. Bytes are ` + "`size`, `done` and `total`" + `, or end in ` + "`Size`" + `.
- Codes and states are words in lower case with hyphens; scripts compare with these. Texts are for people and change.
- Image names are complete (` + "`docker.io/library/busybox:latest`" + `), digests have their algorithm (` + "`sha256:…`" + `), platforms are
  ` + "`linux/arm64/v8`" + `, times are RFC 3339 in UTC. The identity of a bundle is the digest of its index.
- An optional field is left out when it is empty, zero or false.

The formats of others, ` + "`bundle scan -o sarif` and `-o codequality`" + `, are described in [scan.md](scan.md).
`

// markdown returns the text of docs/json.md.
func markdown(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, strings.ReplaceAll(intro, `"bundle" and "load"`, "`bundle` and `load`"), document.Schema)
	listed := map[reflect.Type]string{}
	for _, p := range pages {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n| field | value | meaning |\n| --- | --- | --- |\n", p.title, p.text)
		coded := rows(t, &b, reflect.TypeOf(p.of), "")
		writeCodes(t, &b, p.title, coded, listed)
	}
	return b.String()
}

// rows writes a row for each field and returns the fields with codes.
func rows(t *testing.T, b *strings.Builder, of reflect.Type, at string) (coded []field) {
	for _, f := range fieldsOf(t, of, at) {
		value := strings.TrimPrefix(string(names[f.name]), "string: ")
		value = strings.TrimPrefix(value, "number: ")
		if f.optional {
			value += ", optional"
		}
		meaning := cmp.Or(comment(t, f.owner, f.member), meanings[f.name])
		if meaning == "" {
			t.Errorf("%s has neither a comment nor a meaning", f.path)
		}
		fmt.Fprintf(b, "| `%s` | %s | %s |\n", f.path, value, strings.NewReplacer("|", `\|`, "*", `\*`).Replace(meaning))
		if f.enum != nil {
			coded = append(coded, f)
		}
		if f.elem != nil {
			under := f.path + "."
			if f.kind != "object" {
				under = f.path + "[]."
			}
			coded = append(coded, rows(t, b, f.elem, under)...)
		}
	}
	return coded
}

// writeCodes writes the codes of the fields of a page, and where they are listed if that is
// an earlier page.
func writeCodes(t *testing.T, b *strings.Builder, page string, coded []field, listed map[reflect.Type]string) {
	for i, f := range coded {
		var paths []string
		for _, other := range coded {
			if other.enum == f.enum {
				paths = append(paths, "`"+other.path+"`")
			}
		}
		switch {
		case slices.ContainsFunc(coded[:i], func(other field) bool { return other.enum == f.enum }):
			continue
		case listed[f.enum] != "":
			fmt.Fprintf(b, "\n%s: as in %s above.\n", strings.Join(paths, ", "), listed[f.enum])
			continue
		}
		listed[f.enum] = page
		fmt.Fprintf(b, "\n%s:\n\n", strings.Join(paths, ", "))
		for _, c := range constants(t, f.enum) {
			fmt.Fprintf(b, "- `%s`%s\n", c.value, colon(c.meaning))
		}
	}
}

func colon(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

// parsed are the packages that were read, by directory.
var parsed = map[string][]*ast.File{}

// files parses the package of a type.
func files(t *testing.T, of reflect.Type) []*ast.File {
	t.Helper()
	dir := filepath.Join(root, strings.TrimPrefix(strings.TrimSuffix(of.PkgPath(), "_test"), "stowage/"))
	if list, ok := parsed[dir]; ok {
		return list
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".go" {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		parsed[dir] = append(parsed[dir], f)
	}
	return parsed[dir]
}

// comment returns the comment of a field in one line.
func comment(t *testing.T, of reflect.Type, name string) (text string) {
	t.Helper()
	for _, f := range files(t, of) {
		ast.Inspect(f, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != of.Name() {
				return true
			}
			if s, ok := spec.Type.(*ast.StructType); ok {
				for _, f := range s.Fields.List {
					if slices.ContainsFunc(f.Names, func(i *ast.Ident) bool { return i.Name == name }) {
						text = plain(f.Doc, f.Comment, name)
					}
				}
			}
			return false
		})
	}
	return text
}

var (
	link    = regexp.MustCompile(`\[\*?(?:[A-Z]\w*\.)?([A-Z]\w*)\]`)
	subject = regexp.MustCompile(`^(?:(?:is|are|holds|says|lists|has)(?: that)? )`)
)

// plain returns a comment without the name that it begins with, and without links.
func plain(doc, line *ast.CommentGroup, name string) string {
	text := strings.Join(strings.Fields(doc.Text()+" "+line.Text()), " ")
	text = strings.TrimPrefix(strings.TrimPrefix(text, name+": "), name+" ")
	text = link.ReplaceAllString(subject.ReplaceAllString(text, ""), "$1")
	if strings.Count(text, ". ") == 0 {
		text = strings.TrimSuffix(text, ".")
	}
	return text
}

// constant is a value of a type of codes.
type constant struct{ value, meaning string }

// constants returns the values of a type of strings, in the order of the source.
func constants(t *testing.T, of reflect.Type) (list []constant) {
	t.Helper()
	for _, f := range files(t, of) {
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok || len(v.Values) != 1 {
				return true
			}
			if id, ok := v.Type.(*ast.Ident); !ok || id.Name != of.Name() {
				return true
			}
			if lit, ok := v.Values[0].(*ast.BasicLit); ok {
				value, err := strconv.Unquote(lit.Value)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, constant{value, cmp.Or(plain(nil, v.Comment, ""), plain(v.Doc, nil, v.Names[0].Name))})
			}
			return true
		})
	}
	return list
}
