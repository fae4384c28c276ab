package scan

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

// addSeeds adds the inputs of the fixtures, and some broken ones, to a fuzz target.
func addSeeds(f *testing.F) {
	files, _ := filepath.Glob("testdata/forms/*.txtar")
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(ar.Files[0].Data)
		f.Add([]byte(strings.ReplaceAll(string(ar.Files[0].Data), "\n", "\r\n")))
	}
	for _, s := range []string{
		"", "---", "a: *b", "a: &a [*a]", "{{ x }}", "{\"a\": \"\\ud83d\\ude00 quay.io/a/b:1\"}", "\xFF\xFEa\x00", "\uFEFFa: 1", "image: a/b:1@sha256:" + hex64,
		"x: \"quay.io/a\\\n  /b:1\"", "? image\n: a/b:1", "- - - image: |2\n       a/b:1", "image: !!binary YS9iOjE=", "%TAG ! x\n---\nimage: !y a/b:1",
		"image: &a\n  b/c:1", "a: >\n  image: b/c:1\n", "image: a/b:1\u2028x: 1", "image: a/b:1\u0085x: 1", "a/b:1\nc/d:2", "image: [a/b:1, c/d:2]",
		"data:\n  a: |\n    {{ x }}\n    \"=\n    image: =\n    image=", "image: {repository: a, tag: \"${A_LONG_VARIABLE}\"}",
		"kind: List\nitems: [{kind: Pod, spec: {containers: [{image: a}]}}]", "{\"a\":1} {\"image\":\"a/b:1\"}", "- &a {<<: *a}",
		secretDoc(typeDockerConfig, "stringData", ".dockerconfigjson", "'{}'"),
	} {
		f.Add([]byte(s))
	}
}

// fuzzLimits keep single inputs quick.
var fuzzLimits = Options{MaxDocument: 1 << 16, MaxNodes: 1 << 16}

// FuzzScan: any bytes in, never a panic; a name that comes out is its own normal form; a
// position is inside the input.
func FuzzScan(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		res, _ := scanString(t, fuzzLimits, string(src))
		lines := strings.Count(string(src), "\n") + 1
		for _, ref := range res.References {
			if n, ok := parseName(ref.Name); !ok || n.full != ref.Name {
				t.Errorf("name %q normalises to %q", ref.Name, n.full)
			}
			if n, ok := parseName(ref.Text); !ok || n.full != ref.Name {
				t.Errorf("text %q normalises to %q, not %q", ref.Text, n.full, ref.Name)
			}
			if ref.Line < 1 || ref.Line > lines || ref.Column < 1 {
				t.Errorf("%s is at %d:%d of %d lines", ref.Text, ref.Line, ref.Column, lines)
			}
		}
		for _, w := range res.Warnings {
			if w.Line < 1 || w.Line > lines || w.Column < 1 || w.Message == "" || strings.Contains(w.Message, "\n") {
				t.Errorf("warning %+v", w)
			}
		}
	})
}

// FuzzRewrite: a rewrite keeps the images, changes nothing else, and never panics.
func FuzzRewrite(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) < 1<<14 {
			rewriteKeeps(t, src)
		}
	})
}

// FuzzName: the name of a reference that parses parses to itself.
func FuzzName(f *testing.F) {
	for _, s := range []string{"busybox", "a/b:1", "localhost:5000/a", "a@sha256:" + hex64, "[::1]:5000/a:b", "index.docker.io/a", "A/b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := parseName(s)
		if again, ok2 := parseName(n.full); ok && (!ok2 || again.full != n.full) {
			t.Errorf("%q normalises to %q, and that to %q", s, n.full, again.full)
		}
		if strong(s) && !ok {
			t.Errorf("%q is strong but not a reference", s)
		}
	})
}

// TestCutManifests rewrites prefixes of a manifest: cut documents are what
// users have after a failed download.
func TestCutManifests(t *testing.T) {
	src, err := os.ReadFile("testdata/forms/odd.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(src); i += 31 {
		rewriteKeeps(t, src[:i])
	}
}
