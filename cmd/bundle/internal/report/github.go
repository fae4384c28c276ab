package report

import (
	"io"
	"strconv"
	"strings"

	"stowage/cmd/internal/cli"
)

// The characters that end a value of GitHub's workflow commands, as its toolkit escapes them
// (https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts).
var (
	githubText     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	githubProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// GitHub writes a scan as workflow commands of GitHub Actions: an annotation for each finding
// at its file and line
// (https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions).
func GitHub(w io.Writer, s Scan) error {
	commands := map[severity]string{note: "notice", warning: "warning", failure: "error"}
	for _, f := range findings(s) {
		place := "file=" + githubProperty.Replace(f.file)
		if f.line > 0 {
			place += ",line=" + strconv.Itoa(f.line)
		}
		if err := cli.Fprintf(w, "::%s %s,title=%s::%s\n", commands[f.severity], place, githubProperty.Replace(string(f.code)), githubText.Replace(f.text)); err != nil {
			return err
		}
	}
	return nil
}
