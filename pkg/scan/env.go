package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// env applies the rule for {name: FOO_IMAGE, value: REF}, wherever such a pair stands. It returns the keys it has dealt
// with, each between zero bytes.
func (w *walker) env(f fields, s scope) (used string) {
	name, value := f.text("name"), f.get("value")
	if !imageVariable(name) || strings.ContainsAny(name, "/: ") || !isText(value) {
		return ""
	}
	w.variable(name, value, s.at("value"))
	return "\x00name\x00value\x00"
}

// variable judges the value of a variable that promises images: one reference, or several separated by white space or
// commas, each perhaps with a key and an equals sign before it.
func (w *walker) variable(name string, n *yaml.Node, s scope) {
	v := n.Value
	if trimmed := strings.TrimSpace(v); strings.HasPrefix(trimmed, "{") && !isPlaceholder(trimmed) || strings.HasPrefix(trimmed, "[") {
		w.embedded(n, s)
		return
	}
	if isPlaceholder(v) && !strings.Contains(v, "\n") {
		w.decide(placeholder, s.src.inner(n), 0, v, FormEnv, nil, s)
		return
	}
	t := s.src.inner(n)
	for off, word := range words(v, " \t\r\n,;\"'") {
		off, word = afterEquals(off, word)
		w.decide(judgeVariable(name, word), t, off, word, FormEnv, nil, s)
	}
}

// afterEquals drops a key before a reference: 3.2.0=quay.io/a/b:1.
func afterEquals(off int, word string) (int, string) {
	if i := strings.LastIndexByte(word, '='); i >= 0 {
		return off + i + 1, word[i+1:]
	}
	return off, word
}

// words goes over the parts of s between the bytes of sep, with their offsets.
func words(s, sep string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		for i := 0; i < len(s); {
			if strings.IndexByte(sep, s[i]) >= 0 {
				i++
				continue
			}
			end := i
			for end < len(s) && strings.IndexByte(sep, s[end]) < 0 {
				end++
			}
			if !yield(i, s[i:end]) {
				return
			}
			i = end
		}
	}
}

// variables lists the names of a container's environment, which $(NAME) in its arguments refers to.
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
