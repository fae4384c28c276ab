package scan

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

const digest = "sha256:" + hex64

// lockAll returns a digest for every name of a result that has none.
func lockAll(res *Result) map[string]string {
	digests := map[string]string{}
	for _, n := range res.Names() {
		if !strings.Contains(n, "@") {
			digests[n] = digest
		}
	}
	return digests
}

// TestRewrite shows the edits in each way to write a reference, and that nothing else
// changes.
func TestRewrite(t *testing.T) {
	const at = "@" + digest
	for _, tc := range []struct{ name, src, want string }{
		{"plain", "image: demo/app:1 # why\n", "image: demo/app:1" + at + " # why\n"},
		{"no tag", "containers: [{image: app}]\n", "containers: [{image: app:latest" + at + "}]\n"},
		{"single quotes", "image: 'demo/app:1'\r\n", "image: 'demo/app:1" + at + "'\r\n"},
		{"double quotes", `{"image": "demo/app:1"}`, `{"image": "demo/app:1` + at + `"}`},
		{"digest", "image: demo/app:1@" + digest + "\n", "image: demo/app:1@" + digest + "\n"},
		{"anchor", "a: {image: &i demo/app:1}\nb: {image: *i}\n", "a: {image: &i demo/app:1" + at + "}\nb: {image: *i}\n"},
		{"argument", "args: ['--x-image=demo/app:1', --y-image, demo/b:2]\n", "args: ['--x-image=demo/app:1" + at + "', --y-image, demo/b:2" + at + "]\n"},
		{"variable", "- name: X_IMAGES\n  value: |\n    1=demo/app:1\n    2=demo/app:2\n", "- name: X_IMAGES\n  value: |\n    1=demo/app:1" + at + "\n    2=demo/app:2" + at + "\n"},
		{"text in text", "data:\n  a: |\n    b: |\n      {{ x }}\n      image: demo/app:1\n", "data:\n  a: |\n    b: |\n      {{ x }}\n      image: demo/app:1" + at + "\n"},
		{"escapes elsewhere", `data: {a: "x: 1\nimage: demo/app:1\n"}`, `data: {a: "x: 1\nimage: demo/app:1` + at + `\n"}`},
		{"escapes inside", `data: {a: "x: 1\nimage: demo\x2Fapp:1\n"}`, `data: {a: "x: 1\nimage: demo\x2Fapp:1\n"}`},
		{"group", "image: {repository: demo/app, tag: 1, pullPolicy: Always}\n", "image: {repository: demo/app, tag: 1, pullPolicy: Always}\n"},
		{"list", "# c\ndemo/app:1\n\nbusybox # d\n", "# c\ndemo/app:1" + at + "\n\nbusybox:latest" + at + " # d\n"},
		{"mark", "\uFEFFimage: demo/app:1\n", "\uFEFFimage: demo/app:1" + at + "\n"},
		{"policy", "a: {imagePullPolicy: Always, image: demo/app@" + digest + "}\n", "a: {imagePullPolicy: IfNotPresent, image: demo/app@" + digest + "}\n"},
		{"policy in quotes", "imagePullPolicy: \"Always\"\n", "imagePullPolicy: \"IfNotPresent\"\n"},
		{"other policies", "imagePullPolicy: Never\nrestartPolicy: Always\n", "imagePullPolicy: Never\nrestartPolicy: Always\n"},
		{"documents", "image: demo/app:1\n---\nbroken: [\n---\nimage: demo/app:1\n", "image: demo/app:1" + at + "\n---\nbroken: [\n---\nimage: demo/app:1" + at + "\n"},
		{"two JSON values", `{"image":"demo/app:1"} {"image":"demo/app:2"}`, `{"image":"demo/app:1` + at + `"} {"image":"demo/app:2` + at + `"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			res, _ := scanString(t, Options{}, tc.src)
			out, _, err := Rewrite([]byte(tc.src), RewriteOptions{Digests: lockAll(res), PullPolicy: true})
			if diff := cmp.Diff(tc.want, string(out)); diff != "" {
				t.Errorf("%v\nwant -, got +:\n%s", err, diff)
			}
			if again, edits, _ := Rewrite(out, RewriteOptions{PullPolicy: true}); !bytes.Equal(again, out) {
				t.Errorf("a second rewrite changes %+v", edits)
			}
		})
	}
}

// TestRewriteEdits shows what is reported of changes made and not made.
func TestRewriteEdits(t *testing.T) {
	src := "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - {image: demo/app:1, imagePullPolicy: Always}\n  - {image: demo/any}\n" +
		"  - {image: \"demo\\x2Fodd:1\"}\n  x: {image: {repository: demo/group, tag: 2}}\n"
	opts := RewriteOptions{File: "f.yaml", PullPolicy: true, Digests: map[string]string{
		"docker.io/demo/app:1": digest, "docker.io/demo/odd:1": digest, "docker.io/demo/group:2": digest, "docker.io/demo/unused:1": digest}}
	src = strings.Replace(src, "  x:", "x:", 1)
	out, edits, err := Rewrite([]byte(src), opts)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range edits {
		got = append(got, strings.Join([]string{e.File, e.Field, e.Old, strings.TrimSuffix(e.New, digest), e.Skipped}, "|"))
	}
	want := []string{
		"f.yaml|spec.containers[0].image|demo/app:1|demo/app:1@|",
		"f.yaml|spec.containers[0].imagePullPolicy|Always|IfNotPresent|",
		"f.yaml|spec.containers[1].image|demo/any|demo/any|" + skipDefault,
		"f.yaml|spec.containers[2].image|demo/odd:1|demo/odd:1@|" + skipInexact,
		"f.yaml|x.image|demo/group:2|demo/group:2@|" + skipGroup,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want -, got +:\n%s", diff)
	}
	if !strings.Contains(string(out), "demo/app:1@"+digest+", imagePullPolicy: IfNotPresent}") {
		t.Errorf("out:\n%s", out)
	}
}

func TestRewriteRefuses(t *testing.T) {
	if _, _, err := Rewrite([]byte("a: 1"), RewriteOptions{Digests: map[string]string{"x": "sha256:1"}}); err == nil || err.Error() != `rewrite x: invalid digest "sha256:1"` {
		t.Errorf("bad digest: %v", err)
	}
	wide := []byte("\xFF\xFEi\x00m\x00a\x00g\x00e\x00:\x00 \x00a\x00/\x00b\x00:\x001\x00")
	out, edits, err := Rewrite(wide, RewriteOptions{Digests: map[string]string{"docker.io/a/b:1": digest}})
	if err != nil || !bytes.Equal(out, wide) || len(edits) != 1 || edits[0].Skipped != skipUTF16 {
		t.Errorf("UTF-16: %v, %+v", err, edits)
	}
}

// TestRewriteNothing shows that without anything to do every input comes back as it is.
func TestRewriteNothing(t *testing.T) {
	files, _ := filepath.Glob("testdata/forms/*.txtar")
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if out, edits, _ := Rewrite(src, RewriteOptions{}); !bytes.Equal(out, src) || len(edits) > 0 {
			t.Errorf("%s changed: %+v", file, edits)
		}
	}
}

// rewriteKeeps checks what a rewrite promises: the same references as before, some of them
// digest, and nothing changed but what the edits say.
func rewriteKeeps(t *testing.T, src []byte) {
	t.Helper()
	before := New(Options{})
	errBefore := before.Scan("x", bytes.NewReader(src))
	digests := lockAll(before.Result())
	out, edits, _ := Rewrite(src, RewriteOptions{Digests: digests, PullPolicy: true, File: "x"})
	after := New(Options{})
	errAfter := after.Scan("x", bytes.NewReader(out))
	if (errBefore == nil) != (errAfter == nil) {
		t.Fatalf("errors: before %v, after %v\n%s", errBefore, errAfter, short(out))
	}
	// A digest makes a reference unmistakable, so an alias of it may now count where it did
	// not before: names are compared, not their number.
	want, got := map[string]bool{}, map[string]bool{}
	for _, ref := range before.Result().References {
		want[ref.Name] = true
	}
	for _, ref := range after.Result().References {
		name := strings.TrimSuffix(ref.Name, "@"+digest)
		if !want[name] && !want[ref.Name] {
			t.Fatalf("%s came out of nothing\n%s\n%s", ref.Name, short(src), short(out))
		}
		got[name], got[ref.Name] = true, true
	}
	for name := range want {
		if !got[name] {
			t.Fatalf("%s went away\n%s\n%s", name, short(src), short(out))
		}
	}
	checkEdits(t, src, out, edits)
}

// checkEdits makes the edits again, by their positions, and compares.
func checkEdits(t *testing.T, src, out []byte, edits []Edit) {
	t.Helper()
	lines := bytes.SplitAfter(src, []byte("\n"))
	starts := make([]int, len(lines)+1)
	for i, l := range lines {
		starts[i+1] = starts[i] + len(l)
	}
	var want []byte
	end := 0
	for _, e := range edits {
		if e.Skipped != "" {
			continue
		}
		at := starts[e.Line-1] + e.Column - 1
		if e.Line == 1 && bytes.HasPrefix(src, []byte("\uFEFF")) {
			at += 3
		}
		if at < end || !bytes.HasPrefix(src[at:], []byte(e.Old)) {
			t.Fatalf("%q does not stand at %d:%d\n%s", e.Old, e.Line, e.Column, short(src))
		}
		want = append(append(want, src[end:at]...), e.New...)
		end = at + len(e.Old)
	}
	if want = append(want, src[end:]...); !bytes.Equal(want, out) {
		t.Fatalf("more changed than the edits say\n%s\n%s", short(src), short(out))
	}
}

// short quotes an input for a failure, unless it is a whole manifest.
func short(src []byte) string {
	if len(src) > 3000 {
		return "(a long input)"
	}
	return strconv.Quote(string(src))
}

func TestRewriteKeeps(t *testing.T) {
	files, _ := filepath.Glob("testdata/forms/*.txtar")
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		rewriteKeeps(t, ar.Files[0].Data)
	}
}

// TestRewriteCorpus does the same over real manifests.
func TestRewriteCorpus(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join(corpusDir(t), "*.*"))
	for _, file := range files {
		if !strings.HasSuffix(file, "truth.json") && filepath.Ext(file) != ".md" && filepath.Ext(file) != ".py" {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			rewriteKeeps(t, src)
		}
	}
}
