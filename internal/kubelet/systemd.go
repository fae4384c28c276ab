package kubelet

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unitDirs are the directories of systemd's units; one overrides those after it
// (systemd.unit(5)).
var unitDirs = []string{"/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"}

// unit is how systemd starts a service: the words of ExecStart with their variables
// replaced, and the environment.
type unit struct {
	args []string
	env  map[string]string
}

// readUnit reads a service with its drop-ins. It returns nil when there is none that starts
// a program. What systemd would ignore is ignored.
func (r root) readUnit(name string) *unit {
	var lines []string
	for _, dir := range unitDirs {
		if text, err := r.read(filepath.Join(dir, name)); err == nil {
			lines = serviceLines(string(text))
			break
		}
	}
	if lines == nil {
		return nil
	}
	for _, file := range r.unitDropIns(name) {
		if text, err := r.read(file); err == nil {
			lines = append(lines, serviceLines(string(text))...)
		}
	}
	u := &unit{env: map[string]string{}}
	command, fromFiles := "", map[string]string{}
	for _, line := range lines {
		key, value, _ := strings.Cut(line, "=")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "ExecStart":
			command = value // an empty one removes those before it
		case "Environment":
			maps.Copy(u.env, assignments(words(value)))
		case "EnvironmentFile":
			maps.Copy(fromFiles, r.environmentFile(value))
		}
	}
	maps.Copy(u.env, fromFiles)
	if u.args = expand(words(strings.TrimLeft(command, "-@:+!")), u.env); len(u.args) == 0 {
		return nil
	}
	return u
}

// unitDropIns returns the drop-ins of a unit in the order in which systemd reads them: by
// name, the first directory that has a name.
func (r root) unitDropIns(unit string) []string {
	files := map[string]string{}
	for _, dir := range slices.Backward(unitDirs) {
		dir = filepath.Join(dir, unit+".d")
		entries, _ := os.ReadDir(r.path(dir))
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".conf" {
				files[e.Name()] = filepath.Join(dir, e.Name())
			}
		}
	}
	var sorted []string
	for _, name := range slices.Sorted(maps.Keys(files)) {
		sorted = append(sorted, files[name])
	}
	return sorted
}

// serviceLines returns the lines of the section [Service], those that end in "\" joined.
func serviceLines(text string) []string {
	lines, section := []string{}, ""
	text = strings.ReplaceAll(text, "\\\n", " ")
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#' || line[0] == ';':
		case line[0] == '[':
			section = line
		case section == "[Service]":
			lines = append(lines, line)
		}
	}
	return lines
}

// environmentFile reads the file of an EnvironmentFile=, which "-" in front allows to be
// absent.
func (r root) environmentFile(name string) map[string]string {
	env := map[string]string{}
	text, _ := r.read(strings.TrimPrefix(name, "-"))
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", "")) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && !strings.HasPrefix(key, "#") && !strings.HasPrefix(key, ";") {
			env[strings.TrimSpace(key)] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return env
}

// assignments returns words of the form KEY=VALUE as a map.
func assignments(list []string) map[string]string {
	env := map[string]string{}
	for _, w := range list {
		if k, v, ok := strings.Cut(w, "="); ok {
			env[k] = v
		}
	}
	return env
}

// words splits a line as systemd does: at white space outside of quotes, where "\" makes the
// next character stand for itself.
func words(line string) []string {
	var all []string
	var word strings.Builder
	var quote byte
	inWord := false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line):
			i++
			word.WriteByte(line[i])
			inWord = true
		case quote == 0 && (c == '"' || c == '\''):
			quote, inWord = c, true
		case c == quote:
			quote = 0
		case quote == 0 && (c == ' ' || c == '\t'):
			if inWord {
				all = append(all, word.String())
			}
			word.Reset()
			inWord = false
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	if inWord {
		all = append(all, word.String())
	}
	return all
}

// expand replaces the variables of a command: a word $NAME becomes the words of the value,
// ${NAME} within a word the value.
func expand(list []string, env map[string]string) []string {
	var all []string
	for _, w := range list {
		name, isVariable := strings.CutPrefix(w, "$")
		if isVariable && name != "" && !strings.ContainsAny(name, "{$") {
			all = append(all, words(env[name])...)
			continue
		}
		all = append(all, os.Expand(w, func(name string) string {
			if name == "$" {
				return "$"
			}
			return env[name]
		}))
	}
	return all
}
