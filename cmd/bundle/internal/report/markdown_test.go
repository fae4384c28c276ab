package report

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/cli"
	"stowage/cmd/internal/clitest"
	"stowage/pkg/archive"
)

// hostile are texts that are markup in Markdown or HTML, or control a terminal.
var hostile = []string{
	"a|b", "`code`", "``` fence", "<script>alert(1)</script>", "</td><img src=x onerror=alert(1)>", "[a](https://example.com)", "![a](b)", "https://example.com/x",
	"www.example.com", "WWW.example.com", "@octocat", "#1", ":tada:", "# heading", "- item", "1. item", "12) item", "> quote", "---", "===", "***bold***", "__x__", "~~x~~", "$x$",
	"a\n\n## b", "a\r\nb", "\u2028x", "\u202ex", "&lt;", "&#60;", `\`, "    indented", "\ttab", "a\x00b", "\x1b[31m", "\xff", "", " ", "x` |",
}

// TestMarkdownText checks that no text from outside is markup, and that it shows as it is.
func TestMarkdownText(t *testing.T) {
	reference := regexp.MustCompile(`&#[0-9]+;`)
	begins := regexp.MustCompile(`^\s*([-+=]|[0-9]+[.)])`)
	for _, text := range hostile {
		got := mdText(text)
		rest := strings.ToLower(reference.ReplaceAllString(got, ""))
		if strings.ContainsAny(rest, "`*_{}[]<>()#!|~&@\\^$\n\r\t\x00\x1b") || strings.Contains(rest, "://") || strings.Contains(rest, "www.") || begins.MatchString(got) {
			t.Errorf("%q: %q is markup", text, got)
		}
		if shown, want := html.UnescapeString(got), strings.TrimSpace(cli.Text(text)); shown != want {
			t.Errorf("%q shows as %q", text, shown)
		}
		if code := mdCode(text); code != got && strings.ContainsAny(strings.Trim(code, "`"), "`|<>&\n\r") {
			t.Errorf("%q: %q ends the code or the cell", text, code)
		}
	}
	for _, name := range []string{"docker.io/calico/cni:v3.28.0", "quay.io/a_b/c@sha256:12ab", "deploy/my app.yaml:12"} {
		if got := mdCode(name); got != "`"+name+"`" {
			t.Errorf("%q: got %q", name, got)
		}
	}
}

// TestMarkdown compares the summary of a hostile run with a golden file. cmd/bundle has those of
// real runs.
func TestMarkdown(t *testing.T) {
	d := digest.FromString("x")
	c := &archive.Summary{Digest: d, Size: 2_000_000, SavedSize: 1000}
	places := map[string]Places{}
	var changes archive.Difference
	for i, text := range hostile {
		c.Images = append(c.Images, archive.ImageSummary{Names: []string{text}, Digest: digest.Digest(text), Manifests: []archive.ManifestSummary{{Platform: text}, {ArtifactType: text}}})
		c.Skipped = append(c.Skipped, archive.Skipped{Name: text, Reason: text, Platforms: text})
		places[text] = Places{First: text, More: i % 2}
		changes.Added = append(changes.Added, archive.Named{Name: text, Platform: text, Digest: digest.Digest(text)})
		changes.Changed = append(changes.Changed, archive.Changed{Name: text, Old: digest.Digest(text), New: d})
	}
	r := Run{
		File: "a|b\n.tar", FileSize: 1_000_000, SHA256: "12", Contents: c, Old: "<b>", Changes: &changes, Places: places, Pulls: new(int64(3)),
		Limits: []Limit{{Host: "a|b", Account: "<c>", Left: 1, Max: 2, Window: "|"}}, Warnings: slices.Repeat(hostile, 7), Errors: hostile,
	}
	var b strings.Builder
	if err := Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, "|") && !strings.HasPrefix(line, "| ") {
			t.Errorf("%q is no row", line)
		}
	}
	clitest.Golden(t, "testdata/markdown", map[string]string{"hostile.md": b.String()})
}
