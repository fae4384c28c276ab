//go:build linux

package document_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/rogpeppe/go-internal/txtar"

	"stowage/cmd/internal/clitest"
	"stowage/cmd/internal/document"
	"stowage/cmd/internal/progress"
	"stowage/pkg/archive"
	"stowage/pkg/node"
	"stowage/pkg/node/imagedir"
	"stowage/pkg/node/why"
	"stowage/pkg/scan"
	"stowage/pkg/serve/install"
)

// line is a document of bundle scan.
type line struct {
	Reference *scan.Reference `json:"reference,omitempty"` // an image at one place
	Warning   *scan.Warning   `json:"warning,omitempty"`
	Secret    *scan.Secret    `json:"secret,omitempty"` // a Secret with registry accounts, without its value
}

// inventory is a document of load inventory.
type inventory struct {
	Digests []digest.Digest  `json:"digests,omitempty"` // of the blobs that the node has
	Images  []node.NodeImage `json:"images,omitempty"`  // with --images: the images that the node has
}

// page is a document as docs/json.md describes it.
type page struct {
	title, text string
	of          any
}

// pages are all documents.
var pages = []page{
	{"bundle scan", "`bundle scan -o json`: one document a line, with a `reference`, a `warning` or a `secret`. [scan.md](scan.md) explains classes, forms and codes.", line{}},
	{"bundle inspect", "`bundle inspect -o json`: what is in a bundle.", archive.Summary{}},
	{"bundle verify", "`bundle verify -o json`: whether a bundle is intact. It is printed for a damaged bundle, too.", document.Verification{}},
	{"bundle diff", "`bundle diff -o json OLD NEW`: what changed from one bundle to another.", archive.Difference{}},
	{"load, load check", "`load -o json` and `load check -o json`: the state of each image on the node, a document for each bundle.", node.Report{}},
	{"load --kind, --node", "`load -o json` and `load check -o json` with `--kind`, `--k3d`, `--minikube` or `--node`: each node, a document for each bundle.", document.Nodes{}},
	{"load place", "`load place -o json`: where the bundle was placed.", imagedir.Placement{}},
	{"load unpin", "`load unpin -o json`: whose pins were removed.", node.UnpinReport{}},
	{"load inventory", "`load inventory -o json`: the blobs that the node has, or its images.", inventory{}},
	{"load why", "`load why -o json`: the images that pods wait for. [why.md](why.md) explains the causes.", why.Report{}},
	{"load serve", "`load serve --install -o json` and `--uninstall`: what was done to each file.", install.Report{}},
	{"Progress", progressText, progress.Event{}},
}

const progressText = "`--progress json` of both programs writes one event a line to standard error. The fields after `event` depend on it:\n\n" +
	"| event | fields |\n| --- | --- |\n" +
	"| `message`, `warning` | `message` |\n" +
	"| `start`, `bytes`, `done` | `phase`, `done`, `total`; with `bytes`, which comes every 10 s, `stalledSeconds` and `images` |\n" +
	"| `waiting` | `message`, `host`, `retryAt` |\n" +
	"| `error` | `message`, `hint`, `exitCode`, `errors`; of `load` the errors are the images that are not ready |\n" +
	"| `result` | `exitCode`, and what the summary says. It is the last event; `load` has one for each bundle |\n\n" +
	"A mistake on the command line is text, with exit code 2."

// field is a field of a document.
type field struct {
	path     string // images[].layers[].digest
	name     string
	kind     string // of the value
	optional bool
	owner    reflect.Type // the struct
	member   string       // in Go
	elem     reflect.Type // of an object or a list, else nil
	enum     reflect.Type // of a code or a state, else nil
}

// fieldsOf returns the fields of a struct, those of embedded structs among them.
func fieldsOf(t *testing.T, of reflect.Type, path string) (list []field) {
	t.Helper()
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	for f := range fieldSeq(of) {
		if f.Anonymous {
			list = append(list, fieldsOf(t, f.Type, path)...)
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		if name == "" {
			t.Errorf("%s.%s has no name in JSON", of, f.Name)
		}
		v := field{path: path + name, name: name, optional: option != "", owner: of, member: f.Name}
		v.value(f.Type)
		list = append(list, v)
	}
	return list
}

func fieldSeq(of reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range of.NumField() {
			if !yield(of.Field(i)) {
				return
			}
		}
	}
}

// value sets what depends on the Go type.
func (f *field) value(of reflect.Type) {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch of.Kind() {
	case reflect.Slice:
		of = of.Elem()
		f.kind = "list of " + plural(of)
		if of.Kind() == reflect.Struct {
			f.elem = of
		}
	case reflect.Struct:
		f.kind, f.elem = "object", of
	default:
		f.kind = scalar(of)
		if f.kind == "string" && of.PkgPath() != "" && of.Name() != "Digest" {
			f.enum = of
		}
	}
}

func plural(of reflect.Type) string {
	if of.Kind() == reflect.Struct {
		return "objects"
	}
	return scalar(of) + "s"
}

func scalar(of reflect.Type) string {
	switch of.Kind() {
	case reflect.String:
		return "string"
	case reflect.Bool:
		return "bool"
	}
	return "number"
}

// TestNames: a field has one kind of value in all documents, the one that the table names,
// and the rules of the package hold.
func TestNames(t *testing.T) {
	used := map[string]bool{}
	var walk func(page string, list []field)
	walk = func(page string, list []field) {
		for _, f := range list {
			used[f.name] = true
			k, ok := names[f.name]
			switch {
			case !ok:
				t.Errorf("%s: %s: %q is not in the table of names", page, f.path, f.name)
			case k.value() != f.kind:
				t.Errorf("%s: %s is a %s, and elsewhere %s is a %s", page, f.path, f.kind, f.name, k.value())
			}
			if err := k.suits(f.name); err != nil {
				t.Errorf("%s: %v", f.path, err)
			}
			if f.elem != nil {
				walk(page, fieldsOf(t, f.elem, f.path+"."))
			}
		}
	}
	for _, p := range pages {
		walk(p.title, fieldsOf(t, reflect.TypeOf(p.of), ""))
	}
	for name := range names {
		if !used[name] {
			t.Errorf("no document has %q", name)
		}
	}
}

// TestPage writes docs/json.md with -update and compares it otherwise.
func TestPage(t *testing.T) {
	clitest.GoldenFile(t, filepath.Join(root, "docs", "json.md"), markdown(t))
}

// TestGoldenDocuments: every JSON object in the golden texts of both programs is a document
// of one of the pages.
func TestGoldenDocuments(t *testing.T) {
	seen := map[string]int{}
	for _, program := range []string{"bundle", "load"} {
		err := filepath.WalkDir(filepath.Join(root, "cmd", program, "testdata"), func(path string, d os.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".txtar" {
				return err
			}
			ar, err := txtar.ParseFile(path)
			if err != nil {
				return err
			}
			for _, f := range ar.Files {
				for _, doc := range documents(string(f.Data)) {
					title, err := pageOf(t, doc)
					if err != nil {
						t.Errorf("%s: %s: %v", path, f.Name, err)
					}
					seen[title]++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range pages {
		// These need systemd or containers.
		if seen[p.title] == 0 && p.title != "load serve" && p.title != "load --kind, --node" {
			t.Errorf("no golden text is a document of %s", p.title)
		}
	}
}

// documents returns the objects in a text that have a version of the schema.
func documents(text string) (list []map[string]any) {
	start := `{"schema":`
	for _, prefix := range []string{start, "{\n  \"schema\":"} {
		for rest := text; ; {
			i := strings.Index(rest, prefix)
			if i < 0 {
				break
			}
			rest = rest[i:]
			var doc map[string]any
			if err := json.NewDecoder(strings.NewReader(rest)).Decode(&doc); err == nil {
				list = append(list, doc)
			}
			rest = rest[1:]
		}
	}
	return list
}

// pageOf returns the page that describes a document.
func pageOf(t *testing.T, doc map[string]any) (title string, err error) {
	if doc["schema"] != float64(document.Schema) {
		return "", fmt.Errorf("schema %v", doc["schema"])
	}
	for _, p := range pages {
		perr := describes(t, reflect.TypeOf(p.of), doc)
		if perr == nil {
			return p.title, nil
		}
		err = errors.Join(err, fmt.Errorf("not of %s: %w", p.title, perr))
	}
	return "", err
}

// describes reports what a document has that a type has not, or the other way round.
func describes(t *testing.T, of reflect.Type, doc map[string]any) error {
	known := map[string]field{"schema": {kind: "number"}}
	for _, f := range fieldsOf(t, of, "") {
		known[f.name] = f
		if _, ok := doc[f.name]; !ok && !f.optional {
			return fmt.Errorf("no %q", f.name)
		}
	}
	for name, v := range doc {
		f, ok := known[name]
		if !ok {
			return fmt.Errorf("%q is not documented", name)
		}
		var items []any
		switch v := v.(type) {
		case map[string]any:
			items = []any{v}
		case []any:
			items = v
		}
		for _, item := range items {
			if o, ok := item.(map[string]any); ok && f.elem != nil {
				if err := describes(t, f.elem, o); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// TestWrite: the version comes first, and only objects are documents.
func TestWrite(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
		ok   bool
	}{
		{inventory{Digests: []digest.Digest{"a"}}, "{\n  \"schema\": 1,\n  \"digests\": [\n    \"a\"\n  ]\n}\n", true},
		{struct{}{}, "{\n  \"schema\": 1\n}\n", true},
		{map[string]string{"a": "<"}, "{\n  \"schema\": 1,\n  \"a\": \"\\u003c\"\n}\n", true},
		{[]string{}, "", false},
		{1, "", false},
		{func() {}, "", false},
	} {
		var b strings.Builder
		if err := document.Write(&b, tt.v); b.String() != tt.want || (err == nil) != tt.ok {
			t.Errorf("%v: %q, %v", tt.v, b.String(), err)
		}
		if err := document.WriteLine(io.Discard, tt.v); (err == nil) != tt.ok {
			t.Errorf("%v: %v", tt.v, err)
		}
	}
}
