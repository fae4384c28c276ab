package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

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
