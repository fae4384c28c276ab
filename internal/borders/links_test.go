package borders

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ +(.+)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// TestLinks checks that each relative link of the pages leads to a file, and to a heading of
// it where it names one.
func TestLinks(t *testing.T) {
	root := filepath.Join("..", "..")
	var pages []string
	for _, pattern := range []string{"*.md", "docs/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	for _, page := range pages {
		for _, m := range link.FindAllStringSubmatch(read(t, page), -1) {
			path, fragment, _ := strings.Cut(m[1], "#")
			if strings.Contains(m[1], ":") { // another site
				continue
			}
			target := page
			if path != "" {
				target = filepath.Join(filepath.Dir(page), path)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: the link %s: %v", page, m[1], err)
			} else if fragment != "" && !hasHeading(read(t, target), fragment) {
				t.Errorf("%s: the link %s: no such heading", page, m[1])
			}
		}
	}
}

// hasHeading reports whether a page has a heading whose address on a page is this
// fragment: lower case, without punctuation, a hyphen for each space.
func hasHeading(page, fragment string) bool {
	for _, m := range heading.FindAllStringSubmatch(page, -1) {
		text := noSlug.ReplaceAllString(strings.ToLower(strings.TrimSpace(m[1])), "")
		if strings.ReplaceAll(text, " ", "-") == fragment {
			return true
		}
	}
	return false
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
