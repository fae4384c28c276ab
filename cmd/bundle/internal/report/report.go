// Package report writes what a scan found in the forms that CI systems read, SARIF 2.1.0
// (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), GitLab's Code Quality report and the
// annotations of GitHub Actions, what a run did in Markdown, and what is in a bundle as a page
// in HTML.
//
//	err := report.SARIF(os.Stdout, report.Scan{Warnings: result.Warnings, Version: "1.0"})
//
// The same scan is the same bytes. A finding keeps its fingerprint when lines are added above
// it.
package report

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"stowage/cmd/internal/cli"
	"stowage/pkg/scan"
)

// A Scan is what a report is about.
type Scan struct {
	Warnings  []scan.Warning
	Uncovered []scan.Uncovered // images that the lock file does not cover
	Errors    []error          // each for a manifest that could not be read
	Version   string           // of this program
}

// The codes of the findings that are not warnings.
const (
	unreadable = "unreadable-manifest"
	notLocked  = "not-locked"
)

// rules are the codes that a finding can have, with their descriptions.
func rules() []scan.CodeText {
	return append(scan.Codes(), scan.CodeText{
		Code: unreadable, Meaning: "the manifest is not valid, or exceeds a limit; its images are unknown", Action: "fix the file, or render it first if it is a template",
	}, scan.CodeText{
		Code: notLocked, Meaning: "the lock file does not cover an image of the manifests", Action: "make the lock file again with bundle scan --pin",
	})
}

// severity is how much a finding matters.
type severity int

const (
	note    severity = iota // usually nothing to do
	warning                 // the cluster may ask a registry, or need another image
	failure                 // a pod cannot start, or images are unknown
)

// finding is a warning or an error with the place that a CI system shows it at.
type finding struct {
	code        scan.Code
	severity    severity
	text        string
	file        string // see path
	line        int    // from 1; 0 for the whole file
	object      string // and the field in it
	fingerprint string
}

// findings returns the findings of a scan: the errors that have a place, the images that are
// not locked, then the warnings.
func findings(s Scan) []finding {
	var list []finding
	for _, err := range s.Errors {
		syntax, limit := (*scan.SyntaxError)(nil), (*scan.LimitError)(nil)
		f := finding{code: unreadable, severity: failure}
		switch {
		case errors.As(err, &syntax):
			f.file, f.line, f.text = syntax.File, syntax.Line, syntax.Err.Error()
		case errors.As(err, &limit):
			f.file, f.line, f.text = limit.File, limit.Line, fmt.Sprintf("the document exceeds the limit of its %s, %d", limit.Limit, limit.Max)
		default:
			continue
		}
		list = append(list, f)
	}
	for _, u := range s.Uncovered {
		list = append(list, finding{code: notLocked, severity: failure, text: u.Name + ": " + u.Reason, file: u.File, line: u.Line})
	}
	for _, w := range s.Warnings {
		f := finding{code: w.Code, severity: weigh(w), text: w.Message, file: w.File, line: w.Line, object: w.Object.String()}
		if w.Advice != "" {
			f.text += "; " + w.Advice
		}
		if w.Field != "" {
			f.object = strings.TrimPrefix(f.object+" "+w.Field, " ")
		}
		list = append(list, f)
	}
	seen := map[string]int{}
	for i := range list {
		f := &list[i]
		f.text, f.object, f.file = cli.Text(f.text), cli.Text(f.object), path(f.file)
		key := strings.Join([]string{string(f.code), f.file, f.object, f.text}, "\x00")
		seen[key]++
		sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d", key, seen[key]))
		f.fingerprint = hex.EncodeToString(sum[:16])
	}
	return list
}

// weigh returns the severity of a warning.
func weigh(w scan.Warning) severity {
	switch w.Code {
	case scan.CodePlaceholder, scan.CodeInvalid:
		if w.Class == scan.Required {
			return failure
		}
	case scan.CodeWindows, scan.CodeUnclear, scan.CodeChartList:
		return note
	}
	return warning
}

// path returns the name of an input as a path with slashes, and relative to the working
// directory if it is below it: CI systems look for it from the root of the checkout.
func path(file string) string {
	if isWeb(file) || file == "-" {
		return file
	}
	file = filepath.Clean(file)
	if dir, err := os.Getwd(); err == nil && filepath.IsAbs(file) {
		if below, err := filepath.Rel(dir, file); err == nil && filepath.IsLocal(below) {
			file = below
		}
	}
	return filepath.ToSlash(file)
}

// uri returns a path as SARIF wants it, escaped.
func uri(path string) string {
	switch {
	case isWeb(path):
		if u, err := url.Parse(path); err == nil {
			return u.String()
		}
	case filepath.IsAbs(filepath.FromSlash(path)):
		return (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(path, "/")}).String()
	}
	return (&url.URL{Path: path}).String()
}

func isWeb(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}
