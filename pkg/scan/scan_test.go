package scan

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"
)

const podDoc = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: demo/app:1\n"

func scanString(t testing.TB, opts Options, src string) (*Result, error) {
	t.Helper()
	s := New(opts)
	err := s.Scan("in.yaml", strings.NewReader(src))
	return s.Result(), err
}

// TestScanErrors shows what a document that cannot be read leaves: an error with its place,
// and the other documents.
func TestScanErrors(t *testing.T) {
	for _, tc := range []struct{ name, src, want string }{
		{"tab", "a:\n\tb: 1\n", "in.yaml:2:2: invalid YAML: found character that cannot start any token"},
		{"quote", "a: 1\nb: \"x\n", "in.yaml:2:1: invalid YAML: found unexpected end of stream"},
		{"alias", "a: *secret\n", "in.yaml:1:4: invalid YAML: an alias has no anchor"},
		{"indentation", "a: 1\n b: 2\n", "in.yaml:2:2: invalid YAML: mapping values are not allowed in this context"},
		{"JSON", "{\"a\": 1\n \"b\": 2}\n", "in.yaml:2:2: missing comma or end of the object or array"},
		{"key missing", "a:\n  b: 1\n  c: [1]\n  d\n  e: 1\n", "in.yaml:4:3: invalid YAML: could not find expected ':'"},
		{"template of one line", "a: {{ .x }}:1\n", "in.yaml:1:1: invalid YAML: did not find expected key"},
		{"quote in a quote", "a: 'x\nb: 1\nc: 'd\n", "in.yaml:3:1: invalid YAML: did not find expected key"},
		{"dash missing", "a:\n- b\n- c\n  - d: [\n", "in.yaml:"},
		{"bracket", "a: 1\nb: [1, 2\nc: 3\nd: 4\n", "in.yaml:"},
		{"outdented", "a:\n    b: 1\n  c: 2\nd: 3\n", "in.yaml:3:3: invalid YAML: did not find expected key"},
		{"template", "{{- if .Values.x }}\na: 1\n{{- end }}\n", "in.yaml:"},
		{"text", "just some words\n", "in.yaml:1:1: neither a manifest nor an image list"},
		{"control character", "a: \x01\n", "in.yaml:1:4: invalid YAML: control characters are not allowed"},
		{"not UTF-8", "a: \xff\n", "in.yaml:1:4: invalid YAML: invalid leading UTF-8 octet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := scanString(t, Options{}, tc.src)
			var bad *SyntaxError
			if !errors.As(err, &bad) || !strings.HasPrefix(err.Error(), tc.want) || len(res.References) > 0 {
				t.Errorf("got %v, want %s; %d images", err, tc.want, len(res.References))
			}
			res, err = scanString(t, Options{}, podDoc+"---\n"+tc.src+"---\n"+podDoc)
			if !errors.As(err, &bad) || bad.Line <= 8 || len(res.References) != 2 {
				t.Errorf("between documents: %v; %d images", err, len(res.References))
			}
		})
	}
}

// TestScanAllErrors shows that two broken documents are two errors.
func TestScanAllErrors(t *testing.T) {
	_, err := scanString(t, Options{}, "a: \"\n---\n"+podDoc+"---\nb: [\n")
	if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 2 {
		t.Errorf("got %v", err)
	}
}

func TestScanReadError(t *testing.T) {
	broken := errors.New("broken")
	s := New(Options{})
	err := s.Scan("in.yaml", io.MultiReader(strings.NewReader(podDoc), iotest.ErrReader(broken)))
	if !errors.Is(err, broken) || len(s.Result().References) != 1 {
		t.Errorf("got %v, %d images", err, len(s.Result().References))
	}
}

// TestScanLimits goes to each limit and one beyond.
func TestScanLimits(t *testing.T) {
	deep := func(n int) string { return "a: " + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "\n" }
	bomb := "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
	for c := 'b'; c <= 'i'; c++ {
		bomb += fmt.Sprintf("%c: &%c [*%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c, *%c]\n", c, c, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1, c-1)
	}
	merge := "a: &a {x: 1}\n"
	for c := 'b'; c <= 'z'; c++ {
		merge += fmt.Sprintf("%c: &%c {<<: [*%c, *%c, *%c]}\n", c, c, c-1, c-1, c-1)
	}
	for _, tc := range []struct {
		name, src string
		opts      Options
		want      Limit
	}{
		{"document", podDoc, Options{MaxDocument: len(podDoc)}, ""},
		{"document + 1", podDoc, Options{MaxDocument: len(podDoc) - 1}, LimitDocument},
		{"depth", deep(10), Options{MaxDepth: 11}, ""},
		{"depth + 1", deep(10), Options{MaxDepth: 9}, LimitDepth},
		{"depth of JSON", `{"a": [[[1]]]}`, Options{MaxDepth: 3}, LimitDepth},
		{"depth beyond the parser", strings.Repeat("[", 20000), Options{}, LimitDepth},
		{"depth of arguments", "a: {args: [[x]]}", Options{MaxDepth: 6}, ""},
		{"depth of arguments + 1", "a: {args: [[x]]}", Options{MaxDepth: 5}, LimitDepth},
		{"lines of a text", "a: |\n" + strings.Repeat("  an image x\n", 90) + "b: 1\n", Options{MaxNodes: 100}, ""},
		{"lines of a text + 1", "a: |\n" + strings.Repeat("  an image x\n", 110) + "b: 1\n", Options{MaxNodes: 100}, LimitNodes},
		{"nodes", "[" + strings.Repeat("a,", 1000) + "]", Options{MaxNodes: 3000}, ""},
		{"nodes + 1", "[" + strings.Repeat("a,", 1000) + "]", Options{MaxNodes: 900}, LimitNodes},
		{"nodes of many documents", strings.Repeat("--- [a]\r", 1000), Options{MaxNodes: 100}, LimitNodes},
		{"aliases", bomb, Options{MaxNodes: 100000}, LimitNodes},
		{"merged aliases", merge, Options{MaxNodes: 100000}, LimitNodes},
		{"cycle", "a: &a [*a]\n", Options{}, LimitDepth},
		{"cycle of a mapping", "a: &a {b: *a}\n", Options{}, LimitDepth},
		{"cycle of merges", "a: &a {<<: *a}\n", Options{}, LimitDepth},
		{"cycle of lists", "&a\nkind: List\nitems: [*a]\n", Options{}, LimitDepth},
		{"findings", "[" + strings.Repeat("a.b/c:1,", 10) + "]", Options{MaxFindings: 10}, ""},
		{"findings + 1", "[" + strings.Repeat("a.b/c:1,", 11) + "]", Options{MaxFindings: 10}, LimitFindings},
		{"warnings", "- image: ${A}\n- image: ${A}\n", Options{MaxFindings: 1}, LimitFindings},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := scanString(t, tc.opts, tc.src)
			var limit *LimitError
			if errors.As(err, &limit) != (tc.want != "") || limit != nil && limit.Limit != tc.want {
				t.Errorf("got %v, want limit %q", err, tc.want)
			}
		})
	}
}

// TestEncodings shows that byte order marks and UTF-16 change nothing but columns of wide
// lines.
func TestEncodings(t *testing.T) {
	src := "# é 😀\n" + podDoc
	want, err := scanString(t, Options{}, src)
	if err != nil {
		t.Fatal(err)
	}
	units := utf16.Encode([]rune("\uFEFF" + src))
	var little, big bytes.Buffer
	for _, u := range units {
		_ = binary.Write(&little, binary.LittleEndian, u)
		_ = binary.Write(&big, binary.BigEndian, u)
	}
	for name, in := range map[string]string{"mark": "\uFEFF" + src, "little": little.String(), "big": big.String(), "CRLF": strings.ReplaceAll(src, "\n", "\r\n")} {
		got, err := scanString(t, Options{}, in)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	if _, err := scanString(t, Options{}, "\xFF\xFEa\x00:\x00 \x00\x00\xD8\x00"); err != nil {
		t.Errorf("half a pair at the end: %v", err)
	}
}

func TestOptions(t *testing.T) {
	src := podDoc + "    env:\n    - {name: HELPER_IMAGE, value: demo/helper:2}\n    - {name: OTHER_IMAGE, value: redis}\n"
	for _, tc := range []struct {
		name     string
		opts     Options
		want     []string
		warnings int
	}{
		{"all", Options{}, []string{"docker.io/demo/app:1", "docker.io/demo/helper:2"}, 1},
		{"required", Options{Only: Required}, []string{"docker.io/demo/app:1"}, 1},
		{"indirect", Options{Only: Indirect}, []string{"docker.io/demo/helper:2"}, 1},
		{"include", Options{Include: []string{"redis"}}, []string{"docker.io/demo/app:1", "docker.io/demo/helper:2", "docker.io/library/redis:latest"}, 1},
		{"exclude", Options{Exclude: []string{"*/demo/*"}}, []string{}, 1},
		{"exclude wins", Options{Include: []string{"*"}, Exclude: []string{"redis"}}, []string{"docker.io/demo/app:1", "docker.io/demo/helper:2"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, err := scanString(t, tc.opts, src)
			if diff := cmp.Diff(tc.want, res.Names()); diff != "" || err != nil || len(res.Warnings) != tc.warnings {
				t.Errorf("%v, %d warnings\n%s", err, len(res.Warnings), diff)
			}
		})
	}
}

// TestResult shows that files are kept apart, names are not, and accounts of one file serve
// another.
func TestResult(t *testing.T) {
	s := New(Options{})
	for _, in := range []struct{ file, src string }{
		{"a.yaml", podDoc + "---\n" + strings.Replace(podDoc, "demo/app:1", "demo/other:1", 1)},
		{"b.yaml", "kind: ServiceAccount\nmetadata: {name: default}\nimagePullSecrets: [{name: s}, {name: s}]\n---\n" +
			strings.Replace(podDoc, "containers", "nodeSelector: {kubernetes.io/os: windows}\n  containers", 1)},
	} {
		if err := s.Scan(in.file, strings.NewReader(in.src)); err != nil {
			t.Fatal(err)
		}
	}
	res := s.Result()
	if diff := cmp.Diff([]string{"docker.io/demo/app:1", "docker.io/demo/other:1"}, res.Names()); diff != "" {
		t.Error(diff)
	}
	images := res.Images()
	if len(images) != 2 || len(images[0].References) != 2 || images[0].OS != "" || images[0].Class != Required || res.Documents != 4 {
		t.Errorf("%+v, %d documents", images, res.Documents)
	}
	for _, ref := range res.References {
		if diff := cmp.Diff([]string{"default/s"}, ref.PullSecrets); diff != "" {
			t.Errorf("%s: %s", ref.File, diff)
		}
	}
	if again := s.Result(); !cmp.Equal(res, again) {
		t.Error("a second Result differs")
	}
}

// TestWindowsImage shows that an image is for Windows only when all its places are.
func TestWindowsImage(t *testing.T) {
	win := strings.Replace(podDoc, "containers", "os: {name: windows}\n  containers", 1)
	res, _ := scanString(t, Options{}, win+"---\n"+win)
	if images := res.Images(); len(images) != 1 || images[0].OS != "windows" {
		t.Errorf("%+v", images)
	}
}

// TestSchemaSkipped shows which documents are taken for a plain CustomResourceDefinition.
func TestSchemaSkipped(t *testing.T) {
	const crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: x\n"
	for src, want := range map[string]bool{
		crd: true, "---\n# c\n" + crd: true, strings.ReplaceAll(crd, "\n", "\r\n"): true,
		crd + "kind: Pod\n": false, crd + "apiVersion: v1\n": false, "kind: CustomResourceDefinition\n": false, crd + "- x\n": false,
		crd + "\"kind\": Pod\n": false, crd + "a: \"\nb\"\n": false, podDoc: false, "": false, "--- {a: b}\n" + crd: false,
	} {
		if isSchema([]byte(src)) != want {
			t.Errorf("isSchema(%q) = %v", src, !want)
		}
	}
}

// TestInOrder passes results on in the order of the chunks, whichever worker is done first.
func TestInOrder(t *testing.T) {
	broken := errors.New("broken")
	for _, tc := range []struct {
		name    string
		workers int
		chunks  int
		size    int
		end     error
	}{
		{"none", 2, 0, 1, io.EOF},
		{"one worker", 1, 20, 1, io.EOF},
		{"many workers", 8, 200, 1, io.EOF},
		{"large chunks", 4, 5, maxWaiting + 1, io.EOF},
		{"error at the start", 2, 0, 1, broken},
		{"error after chunks", 4, 30, 1, broken},
	} {
		t.Run(tc.name, func(t *testing.T) {
			small, large := make([]byte, 10), make([]byte, tc.size)
			n := 0
			next := func() (chunk, error) {
				if n == tc.chunks {
					return chunk{}, tc.end
				}
				n++
				if n%3 == 2 {
					return chunk{data: large, line: n}, nil
				}
				return chunk{data: small, line: n}, nil
			}
			work := func(c chunk) *docResult {
				if c.line%3 == 0 {
					runtime.Gosched()
				}
				return &docResult{documents: c.line}
			}
			got := 0
			err := inOrder(tc.workers, next, work, func(d *docResult) {
				if got++; d.documents != got {
					t.Errorf("result %d came at place %d", d.documents, got)
				}
			})
			if got != tc.chunks || (err == nil) != (tc.end == io.EOF) || err != nil && !errors.Is(err, tc.end) {
				t.Errorf("%d of %d results, %v", got, tc.chunks, err)
			}
		})
	}
}
