package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRecord checks that the picture is XML with the lines as text, whatever they contain,
// and the same for two runs.
func TestRecord(t *testing.T) {
	in := "# Start\n$ bundle -o /tmp/x-1/a.tar --mirror docker.io=127.0.0.1:%s\n<b>&amp;</b> ]]>\ntime=\"1\" log of ctr\n" +
		strings.Repeat("long ", columns/4) + "\nimage@sha256:" + strings.Repeat("0", 64) + "\n"
	draw := func(port string) string {
		t.Helper()
		var b strings.Builder
		if err := record(strings.NewReader(strings.ReplaceAll(in, "%s", port)), &b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	first := draw("41000")
	if first != draw("42000") {
		t.Error("two runs differ")
	}
	lines := texts(t, first)
	want := []string{"# Start", "$ bundle -o a.tar --mirror docker.io=127.0.0.1:5000", "<b>&amp;</b> ]]>"}
	for i, line := range want {
		if lines[i] != line {
			t.Errorf("line %d: got %q, want %q", i, lines[i], line)
		}
	}
	if got := strings.Join(lines[3:], "|"); strings.Contains(got, "ctr") || !strings.HasSuffix(got, "|image@sha256:000000000000") {
		t.Errorf("got %q, want no log and a short digest", got)
	}
	if len(lines) != 6 || len(lines[3]) != columns {
		t.Errorf("got %d lines, want 6 with the long one broken at column %d", len(lines), columns)
	}
}

// TestDemoRecording checks the picture of the README.
func TestDemoRecording(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "..", "docs", "demo.svg"))
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Join(texts(t, string(raw)), "\n")
	for _, part := range []string{"answered 401", "8 pulls used", "4 images loaded", "pinned true", "hello from docker.io/calico/cni", "# Done: the registry counted 8 pulls"} {
		if !strings.Contains(all, part) {
			t.Errorf("docs/demo.svg lacks %q: make recording", part)
		}
	}
}

// texts returns the text elements of a picture.
func texts(t *testing.T, svg string) []string {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	var all []string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok && e.Name.Local == "text" {
			var line string
			if err := d.DecodeElement(&line, &e); err != nil {
				t.Fatal(err)
			}
			all = append(all, line)
		}
	}
}
