// Command recording draws the output of a program as an animated terminal in SVG: CSS and no
// script, so that it plays in a README.
//
//	go run ./internal/demo > demo.txt && go run ./internal/recording < demo.txt > docs/demo.svg
package main

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"os"
	"regexp"
	"strings"
)

func main() {
	if err := record(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "recording: error:", err)
		os.Exit(1)
	}
}

// The size of the terminal, and of a character cell in pixels.
const (
	columns, rows = 110, 28
	cellWidth     = 7.3
	lineHeight    = 17
	margin        = 14
)

// The time between two lines and that of the last picture, in seconds.
const (
	lineTime  = 0.35
	pauseTime = 1.5 // before a line that begins with #
	lastTime  = 8.0
)

// record reads lines and writes the picture.
func record(r io.Reader, w io.Writer) error {
	var lines []string
	in := bufio.NewScanner(r)
	for in.Scan() {
		if line, ok := shorten(in.Text()); ok {
			lines = append(lines, wrap(line)...)
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	out := bufio.NewWriter(w)
	draw(out, lines)
	return out.Flush()
}

var (
	temporary = regexp.MustCompile(`/tmp/[A-Za-z0-9-]+/`)
	loopback  = regexp.MustCompile(`127\.0\.0\.1:[0-9]+`)
	digest    = regexp.MustCompile(`(sha256:[0-9a-f]{12})[0-9a-f]{52}`)
)

// shorten replaces what differs from run to run or only fills the line: temporary
// directories, the registry's port, the ends of digests. It returns false for a line that is
// not shown: the log of ctr.
func shorten(line string) (string, bool) {
	line = temporary.ReplaceAllString(line, "")
	line = loopback.ReplaceAllString(line, "127.0.0.1:5000")
	return digest.ReplaceAllString(line, "$1"), !strings.HasPrefix(line, "time=")
}

// wrap breaks a line as a terminal does.
func wrap(line string) []string {
	cells := []rune(line)
	var all []string
	for len(cells) > columns {
		all = append(all, string(cells[:columns]))
		cells = cells[columns:]
	}
	return append(all, string(cells))
}

// draw writes the picture: all lines in one group, which moves up as they appear.
func draw(w io.Writer, lines []string) {
	width, height := columns*cellWidth+2*margin, float64(rows*lineHeight+2*margin)
	begin := make([]float64, len(lines))
	total := 0.0
	for i, line := range lines {
		if strings.HasPrefix(line, "#") {
			total += pauseTime
		}
		begin[i] = total
		total += lineTime
	}
	total += lastTime
	fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img" aria-label="Recording of a terminal">`+"\n", width, height)
	fmt.Fprint(w, "<style>\n"+
		"text { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #d6deeb; white-space: pre }\n"+
		".said { fill: #7fdbca } .typed { fill: #ffffff; font-weight: bold } .error { fill: #ff8b7b }\n")
	fmt.Fprintf(w, "#lines { animation: scroll %.2fs step-end infinite }\n@keyframes scroll {\n", total)
	for i := range lines {
		up := max(0, i+1-rows) * lineHeight
		fmt.Fprintf(w, "%.3f%% { transform: translateY(%dpx) }\n", 100*begin[i]/total, -up)
	}
	fmt.Fprintf(w, "}\n@media (prefers-reduced-motion: reduce) { #lines, text { animation: none !important } #lines { transform: translateY(%dpx) } }\n", -max(0, len(lines)-rows)*lineHeight)
	for i := range lines {
		fmt.Fprintf(w, "@keyframes l%d { 0%% { opacity: 0 } %.3f%%, 100%% { opacity: 1 } }\n", i, 100*begin[i]/total)
	}
	fmt.Fprintf(w, "</style>\n<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"#011627\"/>\n"+
		"<svg x=\"%d\" y=\"%d\" width=\"%.0f\" height=\"%d\">\n<g id=\"lines\">\n", margin, margin, columns*cellWidth, rows*lineHeight)
	for i, line := range lines {
		fmt.Fprintf(w, `<text y="%d"%s style="animation: l%d %.2fs step-end infinite">%s</text>`+"\n",
			i*lineHeight+13, class(line), i, total, html.EscapeString(line))
	}
	fmt.Fprint(w, "</g>\n</svg>\n</svg>\n")
}

// class returns the attribute for the color of a line.
func class(line string) string {
	switch {
	case strings.HasPrefix(line, "#"):
		return ` class="said"`
	case strings.HasPrefix(line, "$"):
		return ` class="typed"`
	case strings.Contains(line, ": error:"):
		return ` class="error"`
	}
	return ""
}
