package scan

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// render prints a result the way the fixtures want it: one line an image, a warning or an
// error.
func render(res *Result, err error) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d documents\n", res.Documents)
	for _, i := range res.References {
		fmt.Fprintf(&b, "%s:%d:%d %s %s %s", i.File, i.Line, i.Column, i.Class, i.Form, i.Name)
		for _, part := range []string{i.Object.String(), i.Field} {
			if part != "" {
				b.WriteString(" " + part)
			}
		}
		for _, opt := range []struct{ name, value string }{{"container", i.Container}, {"policy", i.PullPolicy},
			{"secrets", strings.Join(i.PullSecrets, ",")}, {"os", i.OS}} {
			if opt.value != "" {
				fmt.Fprintf(&b, " %s=%s", opt.name, opt.value)
			}
		}
		b.WriteString("\n")
	}
	for _, w := range res.Warnings {
		where := strings.TrimSpace(string(w.Class) + " " + strings.TrimSpace(w.Object.String()+" "+w.Field))
		fmt.Fprintf(&b, "warning %s:%d:%d %s %s: %s\n", w.File, w.Line, w.Column, w.Code, where, w.Message)
	}
	if err != nil {
		b.WriteString("error " + strings.ReplaceAll(err.Error(), "\n", "\nerror ") + "\n")
	}
	return b.String()
}

// TestForms holds what is found in each fixture of testdata/forms, and where.
func TestForms(t *testing.T) {
	files, err := filepath.Glob("testdata/forms/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixtures: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			in, want := ar.Files[0], &ar.Files[1]
			s := New(Options{})
			err = s.Scan(in.Name, strings.NewReader(string(in.Data)))
			res := s.Result()
			got := render(res, err)
			if *update {
				want.Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(ar), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(want.Data), got); diff != "" {
				t.Errorf("want -, got +:\n%s", diff)
			}
			checkPlaces(t, string(in.Data), res)
		})
	}
}

// checkPlaces shows that the text of a reference stands where its position says.
func checkPlaces(t *testing.T, src string, res *Result) {
	t.Helper()
	lines := strings.SplitAfter(strings.TrimPrefix(src, "\uFEFF"), "\n")
	for _, i := range res.References {
		rest := lines[i.Line-1][i.Column-1:]
		if !strings.HasPrefix(rest, i.Text) && i.Form != FormGroup && !strings.Contains(rest, `\`) {
			t.Errorf("%s is not at %d:%d, but %q", i.Text, i.Line, i.Column, rest)
		}
	}
}

// String writes a candidate for failures and tables.
func (c candidate) String() string {
	names := map[verdict]string{ignore: "ignore", take: "take", unclear: "unclear", placeholder: "placeholder",
		invalid: "invalid", untagged: "untagged", malformed: "malformed", unnamed: "unnamed", alwaysPull: "alwaysPull"}
	if c.line > 0 {
		return fmt.Sprintf("%s@%d/%d %s", names[c.verdict], c.off, c.line, c.text)
	}
	return fmt.Sprintf("%s@%d %s", names[c.verdict], c.off, c.text)
}
