package scan

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write the results to the golden files of testdata")

// input is a row of a table whose results stand in a golden file.
type input struct {
	name string
	src  string
	opts Options
}

// checkGolden scans each input and compares what is found with the part of
// testdata/golden/NAME.golden that has its name. It also checks that every reference stands
// at its position, and that a rewrite keeps the references.
func checkGolden(t *testing.T, name string, inputs []input) {
	t.Helper()
	got := &txtar.Archive{}
	for _, in := range inputs {
		s := New(in.opts)
		err := s.Scan("in", strings.NewReader(in.src))
		got.Files = append(got.Files, txtar.File{Name: in.name, Data: []byte(render(s.Result(), err))})
	}
	want := golden(t, name+".golden", txtar.Format(got))
	parts := map[string]string{}
	for _, f := range txtar.Parse(want).Files {
		parts[f.Name] = string(f.Data)
	}
	for i, in := range inputs {
		t.Run(in.name, func(t *testing.T) {
			if diff := cmp.Diff(parts[in.name], string(got.Files[i].Data)); diff != "" {
				t.Errorf("want -, got +:\n%s\ninput:\n%s", diff, in.src)
			}
			res, _ := scanString(t, in.opts, in.src)
			checkPlaces(t, in.src, res)
			rewriteKeeps(t, []byte(in.src))
		})
	}
	if len(parts) != len(inputs) {
		t.Errorf("%d inputs, %d parts in %s.golden", len(inputs), len(parts), name)
	}
}

// golden returns a file of testdata/golden. With -update it writes got to it first.
func golden(t *testing.T, name string, got []byte) []byte {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if old, _ := os.ReadFile(file); !bytes.Equal(old, got) {
			if err := os.WriteFile(file, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test -update writes it)", err)
	}
	return want
}
