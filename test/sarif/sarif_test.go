// Package sarif validates what "bundle scan --output sarif" prints against the schema that
// OASIS publishes for SARIF 2.1.0 (errata 01), with a validator of JSON Schema that the
// programs do not need.
package sarif

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestSchema validates the output for real manifests, for hostile ones, for one that cannot
// be read, and the golden file with every member. The validator must refuse a wrong one.
func TestSchema(t *testing.T) {
	schema := compile(t)
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(t.TempDir(), "bundle")
	build := exec.Command("go", "build", "-o", bin, "./cmd/bundle")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	golden, err := os.ReadFile(filepath.Join(root, "cmd/bundle/internal/report/testdata/scan/sarif.json"))
	if err != nil {
		t.Fatal(err)
	}
	outputs := map[string][]byte{"golden": golden}
	for name, args := range map[string][]string{
		"calico":   {"-f", filepath.Join(root, "examples", "calico.yaml")},
		"hostile":  {"-f", "testdata/hostile"},
		"no image": {"-f", "testdata/hostile/nothing.yaml"},
	} {
		out, err := exec.Command(bin, append([]string{"scan", "--output", "sarif"}, args...)...).Output()
		if _, failed := err.(*exec.ExitError); err != nil && !(failed && name == "hostile") {
			t.Fatalf("%s: %v", name, err)
		}
		outputs[name] = out
	}
	for name, out := range outputs {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(out))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := schema.Validate(doc); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "hostile" && bytes.Count(out, []byte(`"ruleId"`)) < 5 {
			t.Errorf("few results:\n%s", out)
		}
	}
	wrong, err := jsonschema.UnmarshalJSON(bytes.NewReader(bytes.Replace(golden, []byte(`"startLine": 6`), []byte(`"startLine": 0`), 1)))
	if err != nil {
		t.Fatal(err)
	}
	if schema.Validate(wrong) == nil {
		t.Error("a region that starts at line 0 is valid")
	}
}

// compile returns the schema; formats such as uri are checked as well.
func compile(t *testing.T) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	schema, err := c.Compile("testdata/sarif-schema-2.1.0.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}
