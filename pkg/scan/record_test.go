package scan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// newRecorder returns a recorder for an object, and the scope of a value in it.
func newRecorder(opts Options, builtin bool, value string) (*recorder, *text, scope) {
	out := &docResult{}
	r := &recorder{file: "f", opts: &opts, out: out, budget: &budget{limits: opts.limits()}}
	r.object = object{Object: Object{Kind: "Pod", Name: "p"}, builtin: builtin}
	t := newText(chunk{data: []byte("x: 1\n" + value), line: 1})
	s := scope{src: t, container: "c", pod: &pod{namespace: "demo"}}.at("spec").at("image")
	return r, t, s
}

// TestRecorder adds one candidate a row and keeps what it becomes.
func TestRecorder(t *testing.T) {
	const value = "quay.io/demo/a:1"
	for _, tc := range []struct {
		name    string
		c       candidate
		opts    Options
		builtin bool
		want    string // class form name, or class code
	}{
		{"image", candidate{verdict: take, form: FormContainer}, Options{}, true, "required container quay.io/demo/a:1"},
		{"image of a custom resource", candidate{verdict: take, form: FormContainer}, Options{}, false, "indirect container quay.io/demo/a:1"},
		{"image in an argument", candidate{verdict: take, form: FormArg}, Options{}, true, "indirect arg quay.io/demo/a:1"},
		{"image of a list", candidate{verdict: take, form: FormList}, Options{}, false, "required list quay.io/demo/a:1"},
		{"of the other class", candidate{verdict: take, form: FormArg}, Options{Only: Required}, true, ""},
		{"of the class", candidate{verdict: take, form: FormInit}, Options{Only: Required}, true, "required init-container quay.io/demo/a:1"},
		{"excluded", candidate{verdict: take, form: FormArg}, Options{Exclude: []string{"quay.io/*"}}, true, ""},
		{"unclear", candidate{verdict: unclear, form: FormArg}, Options{}, true, "indirect unclear-reference"},
		{"unclear and included", candidate{verdict: unclear, form: FormArg}, Options{Include: []string{"*"}}, true, "indirect arg quay.io/demo/a:1"},
		{"unclear and excluded", candidate{verdict: unclear, form: FormArg}, Options{Include: []string{"*"}, Exclude: []string{"*"}}, true, ""},
		{"placeholder", candidate{verdict: placeholder, form: FormContainer}, Options{}, true, "required placeholder"},
		{"invalid", candidate{verdict: invalid, form: FormContainer}, Options{}, true, "required invalid-reference"},
		{"invalid in a custom resource", candidate{verdict: invalid, form: FormContainer}, Options{}, false, "indirect invalid-reference"},
		{"untagged", candidate{verdict: untagged, form: FormGroup}, Options{}, true, "indirect unclear-reference"},
		{"malformed", candidate{verdict: malformed, form: FormGroup}, Options{}, true, "indirect unclear-reference"},
		{"admission plugin", candidate{verdict: alwaysPull, form: FormArg}, Options{}, true, " always-pull-images"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r, text, s := newRecorder(tc.opts, tc.builtin, value)
			tc.c.text, tc.c.off, tc.c.length = value, 5, len(value)
			r.add(tc.c, text, s)
			var got []string
			for _, f := range r.out.images {
				got = append(got, string(f.Class)+" "+string(f.Form)+" "+f.Name)
				if f.Position != (Position{"f", 2, 1}) || f.Field != "spec.image" || f.Container != "c" || f.Object.Name != "p" || !f.exact {
					t.Errorf("place of %+v", f)
				}
			}
			for _, w := range r.out.warnings {
				got = append(got, string(w.Class)+" "+string(w.Code))
				if w.Position != (Position{"f", 2, 1}) || w.Field != "spec.image" || w.Container != "c" || w.Object.Name != "p" || w.Message == "" || w.Advice == "" {
					t.Errorf("place and texts of %+v", w)
				}
			}
			if strings.Join(got, ", ") != tc.want || r.budget.found != len(got) {
				t.Errorf("got %v, %d counted, want %s", got, r.budget.found, tc.want)
			}
		})
	}
}

// TestRecorderSchemes drops schemes and moves the position behind them.
func TestRecorderSchemes(t *testing.T) {
	for value, off := range map[string]int{"docker://quay.io/demo/a:1": 9, "oci://quay.io/demo/a:1": 6, "quay.io/demo/a:1": 0} {
		r, text, s := newRecorder(Options{Include: []string{"*"}}, true, value)
		r.add(candidate{verdict: unclear, form: FormScalar, text: value, off: 5, length: len(value)}, text, s)
		if len(r.out.images) != 1 || r.out.images[0].Text != "quay.io/demo/a:1" || r.out.images[0].Column != off+1 {
			t.Errorf("%s: %+v", value, r.out.images)
		}
	}
}

// TestRecorderLine adds the line of a candidate to its path.
func TestRecorderLine(t *testing.T) {
	r, text, s := newRecorder(Options{}, true, "demo/a:1")
	s = s.embedded(text)
	r.add(candidate{verdict: take, form: FormText, text: "demo/a:1", off: 5, length: 8, line: 3, policy: "Never"}, text, s)
	if f := r.out.images[0]; f.Field != "spec.image > line 3" || f.PullPolicy != "Never" || f.Class != Indirect {
		t.Errorf("field %q, policy %q", f.Field, f.PullPolicy)
	}
	if s.path.String() != "spec.image > " {
		t.Errorf("the path of the scope became %s", s.path)
	}
}

// TestReferenceWarnings lists what follows from a reference itself.
func TestReferenceWarnings(t *testing.T) {
	for _, tc := range []struct {
		ref, policy, os string
		form            Form
		want            []Code
	}{
		{"quay.io/demo/a:1", "", "", FormContainer, nil},
		{"demo/a", "", "", FormContainer, []Code{CodeMutableTag, CodeDefaultAlways}},
		{"demo/a:latest", "", "", FormInit, []Code{CodeMutableTag, CodeDefaultAlways}},
		{"demo/a", "Never", "", FormContainer, []Code{CodeMutableTag}},
		{"demo/a", "", "", FormVolume, []Code{CodeMutableTag}},
		{"demo/a", "", "", FormEnv, []Code{CodeMutableTag}},
		{"demo/a@sha256:" + hex64, "", "", FormContainer, nil},
		{"demo/a:latest@sha256:" + hex64, "", "", FormContainer, nil},
		{"localhost/a:1", "", "", FormContainer, []Code{CodeLocalRegistry}},
		{"registry.x.svc/a:1", "", "", FormContainer, []Code{CodeClusterInternal}},
		{"quay.io/demo/a:1", "", "windows", FormContainer, []Code{CodeWindows}},
		{"registry.x.svc/a", "", "windows", FormEphemeral, []Code{CodeMutableTag, CodeDefaultAlways, CodeClusterInternal, CodeWindows}},
	} {
		n, ok := parseName(tc.ref)
		if !ok {
			t.Fatal(tc.ref)
		}
		f := found{Reference: Reference{Text: tc.ref, Form: tc.form, PullPolicy: tc.policy, OS: tc.os, ClusterInternal: clusterInternal(n.domain)}}
		var got []Code
		for _, w := range f.warnings(n) {
			got = append(got, w.Code)
			if strings.ContainsAny(w.Message+w.Advice, "\n") || strings.HasSuffix(w.Message, ".") || w.Advice == "" {
				t.Errorf("%s: texts of %+v", tc.ref, w)
			}
		}
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s, %s: %s", tc.ref, tc.form, diff)
		}
	}
}

// TestQuote keeps values in messages short and on one line.
func TestQuote(t *testing.T) {
	long := strings.Repeat("é", 60)
	for value, want := range map[string]string{
		"": `""`, "a": `"a"`, " a\n\tb ": `"a b"`, strings.Repeat("x", 100): `"` + strings.Repeat("x", 100) + `"`,
		strings.Repeat("x", 101): `"` + strings.Repeat("x", 97) + `..."`, long: `"` + strings.Repeat("é", 48) + `..."`,
	} {
		if got := quote(value); got != want {
			t.Errorf("quote(%q) = %s", value, got)
		}
	}
}
