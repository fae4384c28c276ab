package report

import (
	"io"

	"stowage/cmd/internal/cli"
)

// The types of GitLab's Code Quality report, a part of the format of CodeClimate
// (https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format).
type (
	issue struct {
		Description string        `json:"description"`
		Check       string        `json:"check_name"`
		Fingerprint string        `json:"fingerprint"`
		Severity    string        `json:"severity"`
		Location    issueLocation `json:"location"`
	}
	issueLocation struct {
		Path  string     `json:"path"`
		Lines issueLines `json:"lines"`
	}
	issueLines struct {
		Begin int `json:"begin"`
	}
)

// CodeQuality writes a scan as a Code Quality report of GitLab.
func CodeQuality(w io.Writer, s Scan) error {
	severities := map[severity]string{note: "info", warning: "minor", failure: "critical"}
	issues := []issue{}
	for _, f := range findings(s) {
		issues = append(issues, issue{
			Description: f.text, Check: string(f.code), Fingerprint: f.fingerprint, Severity: severities[f.severity],
			Location: issueLocation{f.file, issueLines{max(f.line, 1)}}, // GitLab needs a line
		})
	}
	return cli.WriteJSON(w, issues)
}
