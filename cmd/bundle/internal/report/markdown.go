package report

import (
	"fmt"
	"io"
	"regexp"
	"strings"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
)

// A Run is what a summary in Markdown is about: a run of bundle, complete or not.
type Run struct {
	File     string // name of the bundle; may be empty
	FileSize int64  // of what was written, which may be compressed
	SHA256   string // of what was written, or empty
	UpToDate bool   // the bundle was there already

	Contents *archive.Summary    // of the bundle; nil when none was written
	Old      string              // name of the bundle that Changes refers to; "" for the one that was replaced
	Changes  *archive.Difference // nil without an older bundle
	Places   map[string]Places   // by name of the image

	Pulls    *int64  // counted by the registries' limits; nil when the run ended before
	Limits   []Limit // as the registries stated them last
	Warnings []string
	Errors   []string // with which the run ended
}

// A Limit is what a registry said about its limit of pulls.
type Limit struct {
	Host    string
	Account string // its source; "" without a login
	Left    int
	Max     int
	Window  string // "6h"
}

// Places says where manifests name an image.
type Places struct {
	First string // "app.yaml:12"
	More  int    // places besides the first
}

// maxWarnings is how many warnings a summary lists. GitHub refuses summaries above 1 MiB.
const maxWarnings = 200

// Markdown writes a summary of a run in GitHub's Markdown, which GitLab and Gitea read as
// well. No text from a manifest, registry or bundle becomes markup in it.
func Markdown(w io.Writer, r Run) error {
	var b strings.Builder
	title := strings.TrimSpace("Bundle " + mdCode(r.File))
	switch {
	case len(r.Errors) == 0 && r.Contents == nil:
		title += ": nothing written"
	case len(r.Errors) > 0 && r.Contents == nil:
		title += ": failed"
	case len(r.Errors) > 0:
		title += ": incomplete"
	case r.UpToDate:
		title += ": up to date"
	}
	b.WriteString("## " + title + "\n")
	mdList(&b, "", r.Errors)
	if r.Contents != nil {
		mdFacts(&b, r)
		mdImages(&b, r)
		mdSkipped(&b, r.Contents.Skipped)
	}
	if r.Changes != nil {
		mdChanges(&b, r.Old, r.Changes)
	}
	mdPulls(&b, r)
	mdList(&b, "Warnings", r.Warnings)
	_, err := io.WriteString(w, b.String())
	return err
}

// mdFacts writes what is known of the file.
func mdFacts(b *strings.Builder, r Run) {
	c := r.Contents
	mdTable(b, "", "", "")
	size := cli.Bytes(r.FileSize)
	if r.FileSize != c.Size {
		size += " (" + cli.Bytes(c.Size) + " decompressed)"
	}
	mdRow(b, "identity", mdCode(c.Digest.String()))
	mdRow(b, "size", size)
	if r.SHA256 != "" {
		mdRow(b, "SHA-256 of the file", mdCode(r.SHA256))
	}
	if c.SavedSize > 0 {
		mdRow(b, "saved by sharing", cli.Bytes(c.SavedSize))
	}
	if c.Omitted > 0 {
		mdRow(b, "omitted", fmt.Sprintf("%s (%s), which must be on the node already", cli.Count(c.Omitted, "layer"), cli.Bytes(c.OmitSize)))
	}
}

// mdImages writes a row for each name in the bundle.
func mdImages(b *strings.Builder, r Run) {
	mdTable(b, "Images", "image", "platform", ":size", "digest", "named in")
	for _, img := range r.Contents.Images {
		var platforms []string
		for _, m := range img.Manifests {
			platforms = append(platforms, mdText(platformOf(m)))
		}
		for _, name := range img.Names {
			place := ""
			if p, ok := r.Places[name]; ok {
				place = mdCode(p.First)
				if p.More > 0 {
					place += fmt.Sprintf(" and %d more", p.More)
				}
			}
			mdRow(b, mdCode(name), strings.Join(platforms, ", "), cli.Bytes(img.Size), mdCode(img.Digest.String()), place)
		}
	}
}

// platformOf returns the platform of a manifest or, for an artifact, its type.
func platformOf(m archive.ManifestSummary) string {
	if m.Platform == "" {
		return m.ArtifactType
	}
	return m.Platform
}

func mdSkipped(b *strings.Builder, list []archive.Skipped) {
	if len(list) == 0 {
		return
	}
	mdTable(b, "Not in the bundle", "image", "platform", "reason")
	for _, s := range list {
		mdRow(b, mdCode(s.Name), mdText(strings.ReplaceAll(s.Platforms, ",", ", ")), mdText(s.Reason))
	}
}

// mdChanges writes what changed since an older bundle.
func mdChanges(b *strings.Builder, old string, d *archive.Difference) {
	if old == "" {
		old = "the replaced bundle"
	} else {
		old = mdCode(old)
	}
	b.WriteString("\n### Changes since " + old + "\n\n")
	cli.Fprintf(b, "%d added, %d removed, %d changed, %d unchanged; %s in %s added, %s in %s removed.\n",
		len(d.Added), len(d.Removed), len(d.Changed), d.Same, cli.Bytes(d.NewSize), cli.Count(d.NewBlobs, "blob"), cli.Bytes(d.GoneSize), cli.Count(d.GoneBlobs, "blob"))
	if len(d.Added)+len(d.Removed)+len(d.Changed) == 0 {
		return
	}
	mdTable(b, "", "change", "image", "digest")
	name := func(name, platform string) string { return strings.TrimSpace(mdCode(name) + " " + mdText(platform)) }
	for _, n := range d.Added {
		mdRow(b, "added", name(n.Name, n.Platform), mdCode(n.Digest.String()))
	}
	for _, n := range d.Removed {
		mdRow(b, "removed", name(n.Name, n.Platform), mdCode(n.Digest.String()))
	}
	for _, c := range d.Changed {
		mdRow(b, "changed", name(c.Name, c.Platform), mdCode(c.Old.String())+" → "+mdCode(c.New.String()))
	}
}

// mdPulls writes what the run cost and what the registries' limits leave.
func mdPulls(b *strings.Builder, r Run) {
	if r.Pulls == nil && len(r.Limits) == 0 {
		return
	}
	b.WriteString("\n### Pulls\n")
	if r.Pulls != nil {
		cli.Fprintf(b, "\n%s used.\n", cli.Count(int(*r.Pulls), "pull"))
	}
	if len(r.Limits) == 0 {
		return
	}
	mdTable(b, "", "registry", "account", ":left", ":limit", "per")
	for _, l := range r.Limits {
		account := "without a login"
		if l.Account != "" {
			account = mdText(l.Account)
		}
		mdRow(b, mdCode(l.Host), account, fmt.Sprint(l.Left), fmt.Sprint(l.Max), mdText(l.Window))
	}
}

// mdList writes a list of texts, below a heading if there is one.
func mdList(b *strings.Builder, heading string, texts []string) {
	if len(texts) == 0 {
		return
	}
	if heading != "" {
		b.WriteString("\n### " + heading + "\n")
	}
	b.WriteByte('\n')
	for _, text := range texts[:min(len(texts), maxWarnings)] {
		b.WriteString("- " + mdText(text) + "\n")
	}
	if more := len(texts) - maxWarnings; more > 0 {
		fmt.Fprintf(b, "- and %d more\n", more)
	}
}

// mdTable writes the head of a table, below a heading if there is one. A column that begins
// with ":" holds numbers.
func mdTable(b *strings.Builder, heading string, columns ...string) {
	if heading != "" {
		b.WriteString("\n### " + heading + "\n")
	}
	b.WriteByte('\n')
	lines := make([]string, len(columns))
	for i, c := range columns {
		lines[i] = "---"
		if name, number := strings.CutPrefix(c, ":"); number {
			columns[i], lines[i] = name, "---:"
		}
	}
	mdRow(b, columns...)
	mdRow(b, lines...)
}

// mdRow writes a row of a table. The cells are Markdown.
func mdRow(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

// plain matches what has no meaning in a code span, nor in a cell of a table.
var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._/:@+,=-]*[A-Za-z0-9]$`)

// mdCode returns a name, path or digest as code where it has only the characters that these
// usually have, otherwise as text.
func mdCode(s string) string {
	if plain.MatchString(s) {
		return "`" + s + "`"
	}
	return mdText(s)
}

// mdText returns a text that shows as it is. A character that could be markup, begin a link or
// name a person is written as a reference by number, which never is markup (CommonMark 0.31,
// section 2.5) and divides no cell. Spaces around the text are dropped.
func mdText(s string) string {
	var b strings.Builder
	s = strings.TrimSpace(cli.Text(s))
	for i := range len(s) {
		c := s[i]
		special := c < 0x80 && strings.IndexByte("`*_{}[]<>()#!|~&@\\^$", c) >= 0
		switch {
		case c == ':' && i+1 < len(s) && s[i+1] != ' ':
			special = true // could be in an address, or begin an emoji
		case c == '.' && strings.EqualFold(s[max(i-3, 0):i], "www"):
			special = true // begins a link
		case strings.IndexByte("-+=.", c) >= 0 && strings.Trim(s[:i], "0123456789") == "":
			special = true // begins a list or underlines a heading
		}
		if special {
			fmt.Fprintf(&b, "&#%d;", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
