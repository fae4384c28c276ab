//go:build linux

package manual

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	span    = regexp.MustCompile("`([^`\n]+)`")
	command = regexp.MustCompile(`(?:^|\| |\bsudo )(bundle|load)( [^|><]*)?(?:[|><]|$)`)
	word    = regexp.MustCompile(`^[a-z]+$`)
	flag    = regexp.MustCompile(`(?:^|[ \[])(--?[a-z][a-z-]*)`)
)

// checkText checks that the commands and flags which the text of the pages names exist.
func checkText(t *testing.T, root, bin string) {
	t.Helper()
	texts := map[string]string{} // help by command
	help := func(name string) string {
		text, ok := texts[name]
		if !ok {
			args := append(strings.Fields(name)[1:], "--help")
			out, err := exec.CommandContext(t.Context(), filepath.Join(bin, strings.Fields(name)[0]), args...).Output()
			if err == nil {
				text = string(out)
			}
			texts[name] = text
		}
		return text
	}
	checked := 0
	for _, page := range pages(t, root) {
		text, err := os.ReadFile(filepath.Join(root, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range span.FindAllStringSubmatch(string(text), -1) {
			for _, m := range command.FindAllStringSubmatch(s[1], -1) {
				checked++
				name, rest := m[1], m[2]
				if words := strings.Fields(rest); len(words) > 0 && word.MatchString(words[0]) && words[0] != "help" {
					name += " " + words[0]
				}
				if help(name) == "" {
					t.Errorf("%s: `%s`: %s is not a command", page, s[1], name)
					continue
				}
				for _, f := range flag.FindAllStringSubmatch(rest, -1) {
					if !regexp.MustCompile(`(^|[ \[,])` + f[1] + `\b`).MatchString(help(name)) {
						t.Errorf("%s: `%s`: %s has no flag %s", page, s[1], name, f[1])
					}
				}
			}
		}
	}
	if checked < 50 {
		t.Errorf("found %d commands in the text of the pages", checked)
	}
}
