package helptext

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const text = `tool check reads a file, C:\ or 'x'.
.It says what is wrong.

Usage:
  tool check FILE    read it
  tool check a|b

  -o, --output FORMAT  text: one line
                       json: an object
      --no-longer-name read with
                       one space
  -h, --help           print this text

Notes follow.

Exit codes:
  0  done

Example:
  tool check x  y
`

func TestOptions(t *testing.T) {
	want := []Option{
		{Short: "o", Long: "output", Arg: "FORMAT", Text: "text: one line json: an object"},
		{Long: "no-longer-name", Text: "read with one space"},
		{Short: "h", Long: "help", Text: "print this text"},
	}
	if diff := cmp.Diff(want, Parse(text).Options()); diff != "" {
		t.Errorf("options (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"tool check FILE", "tool check a|b"}, Parse(text).Usage()); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
}

func TestMan(t *testing.T) {
	got := man(text, "tool check", "v1.2.3", "2026-01-02", []string{"tool"})
	for _, want := range []string{
		`.TH TOOL-CHECK 1 "2026-01-02" "stowage v1.2.3" "User Commands"`,
		`tool\-check, stowage\-tool\-check \- reads a file, C:\e or \(aqx\(aq`,
		`\&.It says what is wrong.`,
		".TP\n\\fB\\-o, \\-\\-output \\fIFORMAT\\fB\\fR\ntext: one line\n.br\njson: an object\n",
		".SH EXIT STATUS\n.TP\n\\fB0\\fR\ndone\n",
		".SH EXAMPLES\n.nf\n\\fBtool check x  y\\fR\n.fi\n",
		".SH SEE ALSO\n.BR tool (1)\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
}
