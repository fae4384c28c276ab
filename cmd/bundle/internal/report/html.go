package report

import (
	"cmp"
	_ "embed"
	"html/template"
	"io"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"stowage/cmd/internal/cli"
	"stowage/pkg/archive"
)

// page is the template of HTML.
//
//go:embed page.html
var page string

// HTML writes a page about a bundle: one file without scripts, which loads nothing, for wide
// and narrow screens and for paper. attached names a referrer.
func HTML(w io.Writer, file string, s *archive.Summary, attached func(archive.ReferrerSummary) string) error {
	t, err := template.New("page").Funcs(template.FuncMap{
		"text": cli.Text, "bytes": cli.Bytes, "count": cli.Count, "platform": platformOf, "attached": attached,
		"spaced": func(list string) string { return strings.ReplaceAll(list, ",", ", ") },
	}).Parse(page)
	if err != nil {
		return err
	}
	return t.Execute(w, struct {
		*archive.Summary
		File    string
		Picture *picture
	}{s, file, draw(s)})
}

// A picture is a bar for each of the largest layers.
type picture struct {
	Bars     []bar
	Height   int
	Omitted  bool // there are omitted layers among the bars
	Rest     int  // layers without a bar
	RestSize int64
}

// A bar is one layer. Lengths are units of the picture, which is 360 wide.
type bar struct {
	Label, Size, Title string
	Class              string // own, shared or omitted
	TextY, Y, Width    int
}

const (
	maxBars   = 25
	barPitch  = 30 // from one bar to the next
	maxLabel  = 40 // characters
	fullWidth = 359
)

// layer is a layer with what a picture says about it.
type layer struct {
	archive.LayerSummary
	image string // the first that uses it
}

// draw returns the picture of a bundle, nil if it has no layers.
func draw(s *archive.Summary) *picture {
	layers := layersOf(s)
	if len(layers) == 0 {
		return nil
	}
	p := &picture{}
	for i, l := range layers {
		if i >= maxBars {
			p.Rest++
			p.RestSize += l.Size
			continue
		}
		b := bar{
			Label: shorten(cli.Text(strings.TrimPrefix(l.image, "docker.io/"))), Size: cli.Bytes(l.Size), Title: cli.Sprintf("%s of %s", l.Digest.String(), l.image),
			Class: "own", TextY: i*barPitch + 11, Y: i*barPitch + 15, Width: max(1, int(l.Size*fullWidth/max(layers[0].Size, 1))),
		}
		if l.Images > 1 {
			b.Class, b.Label = "shared", b.Label+cli.Sprintf(" and %d more", l.Images-1)
		}
		if l.Omitted {
			b.Class, p.Omitted = "omitted", true
		}
		p.Bars = append(p.Bars, b)
	}
	p.Height = len(p.Bars) * barPitch
	return p
}

// layersOf returns the layers of a bundle, each once, the largest first.
func layersOf(s *archive.Summary) []layer {
	var layers []layer
	seen := map[digest.Digest]bool{}
	for _, img := range s.Images {
		for _, m := range img.Manifests {
			for _, l := range m.Layers {
				if !seen[l.Digest] {
					seen[l.Digest] = true
					layers = append(layers, layer{l, img.Names[0]})
				}
			}
		}
	}
	slices.SortFunc(layers, func(a, b layer) int {
		return cmp.Or(cmp.Compare(b.Size, a.Size), strings.Compare(string(a.Digest), string(b.Digest)))
	})
	return layers
}

// shorten returns a name of at most maxLabel characters; it keeps the end, which has the tag.
func shorten(name string) string {
	if runes := []rune(name); len(runes) > maxLabel {
		return "…" + string(runes[len(runes)-maxLabel+1:])
	}
	return name
}
