package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// isArgs reports whether a key holds a command line.
func isArgs(key string) bool {
	return key == "args" || key == "command" || key == "extraArgs" || key == "entrypoint"
}

// opensCollection reports whether an argument begins as JSON does, and not as a template.
func opensCollection(v string) bool {
	v = strings.TrimSpace(v)
	return strings.HasPrefix(v, "[") || strings.HasPrefix(v, "{") && !strings.HasPrefix(v, "{{")
}

// command judges a command line word by word.
type command struct {
	vars  map[string]bool // environment variables of the container
	flag  string          // a flag without a value, to which the next word may belong
	found []candidate     // in the current argument
}

// argument judges the next argument. One with white space in it is a shell script or a
// sentence. The candidates are valid until the next call.
func (c *command) argument(value string) []candidate {
	if strings.ContainsAny(value, " \t\n") {
		return c.script(value)
	}
	c.found = c.found[:0]
	c.word(value, 0, 0)
	return c.found
}

// script judges each word of a shell script.
func (c *command) script(text string) []candidate {
	c.found = c.found[:0]
	number, seen := 1, 0
	for start, line := range words(text, "\n") {
		number += strings.Count(text[seen:start], "\n")
		seen = start
		at := 0 // no line in the path of a text of one line
		if number > 1 || start+len(line) < len(text) {
			at = number
		}
		for off, word := range words(line, " \t\r\"'`;()|&<>,") {
			if word[0] == '#' {
				break
			}
			c.word(word, start+off, at)
		}
		c.flag = ""
	}
	return c.found
}

// word judges one word: --x-image=REF, REF after --x-image, NAME_IMAGE=REF, and a complete
// reference behind any flag or alone.
func (c *command) word(word string, off, line int) {
	flag := c.flag
	c.flag = ""
	key, value, assigned := strings.Cut(word, "=")
	switch {
	case strings.HasPrefix(word, "-") && !assigned:
		c.flag = word
		return
	case strings.HasPrefix(word, "-"):
		flag = key
	case assigned && !strings.Contains(key, "/") && imageVariable(key):
		flag = "-" + key
	default:
		value, assigned = word, false
	}
	if assigned {
		off += len(word) - len(value)
	}
	if i := admissionPlugin(flag, value); i >= 0 {
		c.add(alwaysPull, alwaysPullImages, off+i, line)
	}
	for i, part := range words(value, ",") {
		at, text := afterEquals(off+i, part)
		if verdict := c.value(flag, text); verdict != ignore {
			c.add(verdict, text, at, line)
		}
	}
}

// value judges a value of a flag, which may be "". What a flag of a build tool names as its
// target does not exist yet.
func (c *command) value(flag, value string) verdict {
	switch {
	case targetFlag(flag):
		if strong(value) {
			return unclear
		}
		return ignore
	case strong(value):
		return take
	case !imageFlag(flag), isPlaceholder(value) && c.defines(value):
		return ignore
	}
	return judgeVariable(strings.TrimLeft(flag, "-"), value)
}

// defines reports whether a value refers to a variable of the same container, which is
// judged where it is defined.
func (c *command) defines(value string) bool {
	name, is := strings.CutPrefix(value, "$(")
	if !is {
		return false
	}
	name, _, is = strings.Cut(name, ")")
	return is && c.vars[name]
}

func (c *command) add(v verdict, text string, off, line int) {
	c.found = append(c.found, candidate{verdict: v, form: FormArg, text: text, off: off, length: len(text), line: line})
}

// alwaysPullImages is an admission plugin that sets the pull policy of every pod to Always.
const alwaysPullImages = "AlwaysPullImages"

// admissionPlugin returns the offset of [alwaysPullImages] in the value of a flag of the
// API server, or -1.
func admissionPlugin(flag, value string) int {
	if flag != "--enable-admission-plugins" && flag != "--admission-control" {
		return -1
	}
	return strings.Index(value, alwaysPullImages)
}

// envVariable returns the name of {name: FOO_IMAGE, value: REF}, wherever such a pair
// stands, and the field with its value or, in parameters, its default. ok is false when the
// name promises no image.
func envVariable(f fields) (name string, value pair, ok bool) {
	if name = f.text("name"); !imageVariable(name) || strings.ContainsAny(name, "/: ") || targetKey(name) {
		return "", pair{}, false
	}
	for _, key := range [...]string{"value", "default"} {
		if value = field(f, key); isText(value.value) {
			return name, value, true
		}
	}
	return "", pair{}, false
}

// judgeVariableText judges the value of a variable whose name suggests images: one
// reference, or several separated by white space or commas, each perhaps with a key and an
// equals sign before it.
func judgeVariableText(name, v string) []candidate {
	if isPlaceholder(v) && !strings.Contains(v, "\n") {
		return []candidate{whole(placeholder, FormEnv, v)}
	}
	var found []candidate
	for off, word := range words(v, " \t\r\n,;\"'") {
		off, word = afterEquals(off, word)
		if verdict := judgeVariable(name, word); verdict != ignore {
			found = append(found, candidate{verdict: verdict, form: FormEnv, text: word, off: off, length: len(word)})
		}
	}
	return found
}

// isStructure reports whether the value of a variable is JSON, or YAML in flow style.
func isStructure(v string) bool {
	v = strings.TrimSpace(v)
	return strings.HasPrefix(v, "{") && !isPlaceholder(v) || strings.HasPrefix(v, "[")
}

// afterEquals drops the key before a reference: 3.2.0=quay.io/a/b:1.
func afterEquals(off int, word string) (int, string) {
	i := strings.LastIndexByte(word, '=') + 1
	return off + i, word[i:]
}

// words iterates over the parts of s between the bytes of sep, with their offsets.
func words(s, sep string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for i := 0; i < len(s); {
			if strings.IndexByte(sep, s[i]) >= 0 {
				i++
				continue
			}
			end := until(s, i, sep)
			if !yield(i, s[i:end]) {
				return
			}
			i = end
		}
	}
}

// variables returns the names in a container's environment, which $(NAME) in its arguments
// refers to.
func variables(env *yaml.Node) map[string]bool {
	if env == nil || env.Kind != yaml.SequenceNode {
		return nil
	}
	names := map[string]bool{}
	for _, e := range env.Content {
		if e = resolve(e); e == nil || e.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(e.Content); i += 2 {
			if k, v := resolve(e.Content[i]), resolve(e.Content[i+1]); k != nil && v != nil && k.Value == "name" {
				names[v.Value] = true
			}
		}
	}
	return names
}
