//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// loadReport is what a run of load measured. The tables and the picture are made from it
// alone, so that they can be made again from its file.
type loadReport struct {
	Machine string // description, one item on a line
	Sets    []imageSet
	Results []loadResult `json:"-"` // each on a line of its own
}

// loadResult is the measurements of one set under one condition.
type loadResult struct {
	Condition, Set string // keys
	Title          string
	Rows           []*loadRow
	Noise          string // what other processes did meanwhile
	Trouble        string `json:",omitempty"` // why there are no rows
}

// write writes the report to a file, as JSON values on lines of their own: the report, then
// its results.
func (r loadReport) write(file string) error {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	err := e.Encode(r)
	for _, result := range r.Results {
		err = errors.Join(err, e.Encode(result))
	}
	if err != nil {
		return err
	}
	return os.WriteFile(file, out.Bytes(), 0o644)
}

// readReport reads a report that write wrote.
func readReport(file string) (r loadReport, err error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&r); err != nil {
		return r, fmt.Errorf("read %s: %w", file, err)
	}
	for {
		var result loadResult
		switch err := d.Decode(&result); {
		case errors.Is(err, io.EOF):
			return r, nil
		case err != nil:
			return r, fmt.Errorf("read %s: %w", file, err)
		}
		r.Results = append(r.Results, result)
	}
}

// String returns the tables.
func (r loadReport) String() string {
	var t strings.Builder
	t.WriteString(r.Machine + setsNote(r.Sets))
	t.WriteString(heading("load: targets") + targetsTable(loadTargets(r.Results)))
	for _, result := range r.Results {
		t.WriteString(heading("load: %s", result.Title))
		if result.Trouble != "" {
			t.WriteString("Not run: " + result.Trouble + "\n")
			continue
		}
		t.WriteString(loadTable(result.Rows) + "\n" + result.Noise)
	}
	return t.String()
}

// The names of the files that updateDocs writes, and the lines in the document that enclose
// what it replaces.
const (
	docsFile    = "benchmarks.md"
	pictureFile = "benchmarks-load.svg"
	docsBegin   = "<!-- load: made by go run ./bench load -docs docs -->\n"
	docsEnd     = "<!-- load: end -->\n"
)

// updateDocs replaces the tables of the document in dir, and the picture.
func updateDocs(dir string, r loadReport) error {
	file := filepath.Join(dir, docsFile)
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, begins := strings.Cut(string(old), docsBegin)
	_, after, ends := strings.Cut(rest, docsEnd)
	if !begins || !ends {
		return fmt.Errorf("%s: no lines %q and %q", file, strings.TrimSpace(docsBegin), strings.TrimSpace(docsEnd))
	}
	part := "\n![Seconds of each command as a multiple of those of ctr images import](" + pictureFile + ")\n\n" +
		strings.ReplaceAll(r.String(), "\n## load: ", "\n### ") + "\n"
	if err := os.WriteFile(filepath.Join(dir, pictureFile), []byte(picture(r)), 0o644); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(before+docsBegin+part+docsEnd+after), 0o644)
}
