//go:build linux

package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the picture and the document of testdata, and those of docs")

// docsReport is the file of the measurements that docs shows.
const docsReport = "testdata/load.jsonl"

// updated makes the document and the picture again, in a copy of dir, and compares them
// with those of dir.
func updated(t *testing.T, dir, report string) {
	t.Helper()
	if *update {
		if code := run(t.Context(), []string{"load", "-from", report, "-docs", dir}, io.Discard, t.Output()); code != 0 {
			t.Fatalf("exit code %d", code)
		}
	}
	document, err := os.ReadFile(filepath.Join(dir, docsFile))
	if err != nil {
		t.Fatal(err)
	}
	image, err := os.ReadFile(filepath.Join(dir, pictureFile))
	if err != nil {
		t.Fatal(err)
	}
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, docsFile), document, 0o600); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"load", "-from", report, "-docs", other}, io.Discard, t.Output()); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for name, want := range map[string][]byte{docsFile: document, pictureFile: image} {
		got, err := os.ReadFile(filepath.Join(other, name))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("%s differs; -update writes it again:\n%s", name, diff)
		}
	}
}

// TestGoldenReport makes the tables and the picture of invented measurements.
func TestGoldenReport(t *testing.T) { updated(t, "testdata", "testdata/made-up.jsonl") }

// TestDocs checks that the tables and the picture of docs are those of the last run.
func TestDocs(t *testing.T) { updated(t, "../docs", docsReport) }

// TestPicture checks that the picture is well-formed XML and names what was not run.
func TestPicture(t *testing.T) {
	rows := madeUpLoads()
	rows[0].First[0].Wall *= 10
	text := picture(loadReport{Results: []loadResult{
		{Title: "a <set>", Rows: rows},
		{Title: "a condition that the machine lacks", Trouble: "no loop device"},
	}})
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("%v in:\n%s", err, text)
		}
	}
	for part, want := range map[string]int{
		">4.00<": 1, `width="470.0"`: 1, // as wide as the picture allows
		">0.20<": 1, ">not run<": 1, "a &lt;set&gt;": 1, "lacks": 0,
	} {
		if got := strings.Count(text, part); got != want {
			t.Errorf("%d times %s, want %d, in:\n%s", got, part, want, text)
		}
	}
}

// TestReportFile checks that a report is the same after it was written and read.
func TestReportFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "r.jsonl")
	want := loadReport{
		Machine: "- two cores\n",
		Sets:    []imageSet{{Key: madeUp, Title: "made-up images", Images: 3, Size: 5e6, Origin: "text"}},
		Results: []loadResult{
			{Condition: inMemory, Set: madeUp, Title: "made-up images, tmpfs", Rows: madeUpLoads(), Noise: "none\n"},
			{Condition: onLoop, Set: madeUp, Title: "made-up images, loop", Trouble: "no loop device"},
		},
	}
	if err := want.write(file); err != nil {
		t.Fatal(err)
	}
	got, err := readReport(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want.String(), got.String()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(picture(want), picture(got)); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(got.String(), "Not run: no loop device") {
		t.Error("the reason for a missing result is missing")
	}
	for name, text := range map[string]string{"nothing": "", "half a report": `{"Machine":`, "half a result": "{}\n{\"Rows\":"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readReport(file); err == nil {
			t.Errorf("%s was read", name)
		}
	}
}

func TestUpdateDocsNeedsItsMarkers(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, docsFile), []byte("# Benchmarks\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := updateDocs(dir, loadReport{}); err == nil || !strings.Contains(err.Error(), "benchmarks.md: no lines") {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, pictureFile)); err == nil {
		t.Error("the picture was written")
	}
}
