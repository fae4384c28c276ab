//go:build linux

package main

import (
	"fmt"
	"html"
	"strings"
)

// The measures of the picture, in pixels. A scale of 1 is the time of ctr images import.
const (
	pictureWidth = 820
	labelWidth   = 300 // left of the bars
	scaleWidth   = 350 // of a bar of 1
	barHeight    = 13
	groupSpace   = 12 // between two results
	headHeight   = 64 // above the first result
)

// bars are the commands of the picture: the name, and the class of the style.
var bars = []struct{ name, class string }{
	{ourLoad, "load"}, {ourDiscard, "discard"}, {ctrLocal, "local"},
}

// pictureStyle has the colors for light and for dark pages.
const pictureStyle = `<style>
  text { font: 12px system-ui, sans-serif; fill: #1f2328; paint-order: stroke; stroke: #ffffff; stroke-width: 3px; }
  .title { font-weight: bold; font-size: 14px; }
  .page { fill: #ffffff; } .grid { stroke: #d1d9e0; } .one { stroke: #1f2328; stroke-width: 1.5; }
  .load { fill: #1a7f37; } .discard { fill: #2da9c9; } .local { fill: #8c959f; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; stroke: #0d1117; } .page { fill: #0d1117; } .grid { stroke: #3d444d; } .one { stroke: #e6edf3; }
    .load { fill: #3fb950; } .discard { fill: #56d4dd; } .local { fill: #7d8590; }
  }
</style>
`

// picture returns a bar chart as SVG: the seconds of the commands in each result, as
// multiples of those of ctr images import.
func picture(r loadReport) string {
	var groups strings.Builder
	y := headHeight
	for _, result := range r.Results {
		if len(findRow(result.Rows, ourLoad).First) > 0 {
			y = pictureGroup(&groups, result, y)
		}
	}
	var t strings.Builder
	fmt.Fprintf(&t, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" role="img">`+"\n", pictureWidth, y)
	const title = "Time of a load as a multiple of that of ctr images import"
	fmt.Fprintf(&t, "<title>%s</title>\n%s", title, pictureStyle)
	fmt.Fprintf(&t, `<rect class="page" width="%d" height="%d"/>`+"\n", pictureWidth, y)
	fmt.Fprintf(&t, `<text class="title" x="12" y="22">%s</text>`+"\n", title)
	for i, b := range bars {
		x := 12 + 170*i
		fmt.Fprintf(&t, `<rect class="%s" x="%d" y="34" width="12" height="12"/><text x="%d" y="44">%s</text>`+"\n", b.class, x, x+18, b.name)
	}
	for quarter := range 5 {
		x, class := labelWidth+scaleWidth*quarter/4, "grid"
		if quarter == 4 {
			class = "one"
		}
		fmt.Fprintf(&t, `<line class="%s" x1="%d" y1="%d" x2="%[2]d" y2="%[4]d"/>`+"\n", class, x, headHeight-4, y-groupSpace/2)
	}
	fmt.Fprintf(&t, `<text x="%d" y="%d" text-anchor="middle">ctr images import</text>`+"\n", labelWidth+scaleWidth, headHeight-10)
	return t.String() + groups.String() + "</svg>\n"
}

// pictureGroup draws the bars of one result from y on and returns where the next one
// begins.
func pictureGroup(t *strings.Builder, result loadResult, y int) int {
	fmt.Fprintf(t, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", labelWidth-10, y+barHeight*len(bars)/2+4, html.EscapeString(result.Title))
	theirs := findRow(result.Rows, ctrImport).First
	for _, b := range bars {
		label := "not run"
		if ratios := paired(findRow(result.Rows, b.name).First, theirs, loaded.wall); len(ratios) > 0 {
			x := median(ratios)
			label = digits(x)
			// A bar that does not fit ends at the margin; its label has the figure.
			width := min(x*scaleWidth, pictureWidth-labelWidth-50)
			fmt.Fprintf(t, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d"/>`, b.class, labelWidth, y, width, barHeight-2)
			fmt.Fprintf(t, `<text x="%.1f" y="%d">%s</text>`+"\n", labelWidth+width+6, y+barHeight-3, label)
		} else {
			fmt.Fprintf(t, `<text x="%d" y="%d">%s</text>`+"\n", labelWidth+6, y+barHeight-3, label)
		}
		y += barHeight
	}
	return y + groupSpace
}
