package report

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"stowage/cmd/internal/clitest"
	"stowage/pkg/scan"
)

// sample is a scan with every severity, kind of place and hostile text.
func sample(t *testing.T) Scan {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	at := func(file string, line int) scan.Position { return scan.Position{File: file, Line: line, Column: 7} }
	web := scan.Object{APIVersion: "apps/v1", Kind: "Deployment", Namespace: "shop", Name: "web"}
	field := "spec.template.spec.containers[0].image"
	return Scan{
		Version: "1.2.3",
		Warnings: []scan.Warning{
			{Code: scan.CodeSkippedFile, Position: scan.Position{File: "m/pipe.yaml"}, Message: "not read: it is not a regular file", Advice: "name it with -f"},
			{Code: scan.CodeMutableTag, Position: at("./m/app.yaml", 12), Object: web, Field: field, Message: "busybox has no tag", Advice: "write one"},
			{Code: scan.CodeMutableTag, Position: at("m/app.yaml", 40), Object: web, Field: field, Message: "busybox has no tag", Advice: "write one"},
			{Code: scan.CodePlaceholder, Position: at(filepath.Join(dir, "m", "é b.yaml"), 3), Class: scan.Required, Message: `"[see](https://example.com)` + "\u202e\n" + `" is a placeholder`},
			{Code: scan.CodePlaceholder, Position: at("/else/where.yaml", 3), Class: scan.Indirect, Message: "{{ .Values.image }} is a placeholder"},
			{Code: scan.CodeWindows, Position: at("-", 9), Message: "the image is for Windows nodes"},
			{Code: scan.CodeInvalid, Position: at("https://example.com/a b.yaml", 1), Class: scan.Required, Message: "no reference"},
			{Code: scan.CodeUnclear, Position: at("a:b.yaml", 2), Message: "nginx is unclear"},
		},
		Uncovered: []scan.Uncovered{{Name: "quay.io/t/new:v1", Reason: "not in the lock file", Position: at("m/app.yaml", 41)}},
		Errors: []error{
			&scan.SyntaxError{File: "m/half.yaml", Line: 6, Column: 1, Err: errors.New("mapping values are not allowed in this context")},
			&scan.LimitError{File: "m/deep.yaml", Line: 1, Limit: scan.LimitDepth, Max: 100},
			errors.New("missing.yaml: no such file"),
		},
	}
}

// TestReports compares the reports of a scan with golden files.
func TestReports(t *testing.T) {
	var sarif, quality, github, empty strings.Builder
	for _, err := range []error{SARIF(&sarif, sample(t)), CodeQuality(&quality, sample(t)), GitHub(&github, sample(t)), CodeQuality(&empty, Scan{})} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if got := empty.String(); got != "[]\n" {
		t.Errorf("CodeQuality of nothing: got %q", got)
	}
	clitest.Golden(t, "testdata/scan", map[string]string{"sarif.json": sarif.String(), "codequality.json": quality.String(), "github.txt": github.String()})
}

// TestFingerprints checks that a fingerprint is unique in a report, and that it stays when
// lines are added above the finding.
func TestFingerprints(t *testing.T) {
	before, moved := sample(t), sample(t)
	for i := range moved.Warnings {
		moved.Warnings[i].Line += 3
	}
	seen := map[string]bool{}
	a, b := findings(before), findings(moved)
	for i := range a {
		if seen[a[i].fingerprint] {
			t.Errorf("finding %d has the fingerprint of another", i)
		}
		seen[a[i].fingerprint] = true
		if a[i].fingerprint != b[i].fingerprint {
			t.Errorf("finding %d: the fingerprint depends on the line", i)
		}
	}
}
