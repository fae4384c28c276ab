package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// isArgs knows the keys of command lines.
func isArgs(key string) bool {
	return key == "args" || key == "command" || key == "extraArgs" || key == "entrypoint"
}

// flagState is the flag that the next word may belong to.
type flagState struct{ flag string }

// args goes through a command line. A word with white space in it is a shell script or a sentence and is read word by
// word.
func (w *walker) args(n *yaml.Node, s scope) {
	if !w.enter(&s) {
		return
	}
	var state flagState
	for i, e := range n.Content {
		at := s.element(i)
		e = resolve(e)
		switch {
		case e == nil || !w.enter(&at):
		case e.Kind != yaml.ScalarNode:
			w.node(e, at)
			state = flagState{}
		case !isText(e):
			state = flagState{}
		case strings.ContainsAny(e.Value, " \t\n"):
			w.script(e, at, &state)
		default:
			w.word(e.Value, 0, lazyInner(s.src, e), at, &state)
		}
	}
}

// lazyInner makes the text of a scalar when it is first asked for: most words are no images.
func lazyInner(t *text, n *yaml.Node) func() *text {
	var inner *text
	return func() *text {
		if inner == nil {
			inner = t.inner(n)
		}
		return inner
	}
}

// script reads a word that is a text: JSON, or lines of a shell.
func (w *walker) script(n *yaml.Node, s scope, state *flagState) {
	if v := strings.TrimSpace(n.Value); v != "" && (v[0] == '{' || v[0] == '[') && !strings.HasPrefix(v, "{{") {
		w.embedded(n, s)
		return
	}
	if strings.Contains(n.Value, "\n") {
		s.path = &path{up: s.path, inner: true}
	}
	w.shell(n.Value, lazyInner(s.src, n), s, state)
}

// shell reads a shell script word by word.
func (w *walker) shell(script string, inner func() *text, s scope, state *flagState) {
	up, number, seen := s.path, 1, 0
	for start, line := range words(script, "\n") {
		number += strings.Count(script[seen:start], "\n")
		seen = start
		if number > 1 || start+len(line) < len(script) {
			s.path = &path{up: up, line: number}
		}
		for off, word := range words(line, " \t\r\"'`;()|&<>,") {
			if word[0] == '#' {
				break
			}
			w.word(word, start+off, inner, s, state)
		}
		*state = flagState{}
	}
}

// word judges one word of a command line: --x-image=REF, REF after --x-image, NAME_IMAGE=REF, and a complete reference
// behind any flag or alone. What a flag of a build tool names as its target does not exist yet.
func (w *walker) word(word string, off int, inner func() *text, s scope, state *flagState) {
	flag := state.flag
	state.flag = ""
	key, value, assigned := strings.Cut(word, "=")
	switch {
	case strings.HasPrefix(word, "-") && !assigned:
		state.flag = word
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
	w.admission(flag, value, off, inner, s)
	for i, part := range words(value, ",") {
		w.flagValue(flag, part, off+i, inner, s)
	}
}

func (w *walker) flagValue(flag, value string, off int, inner func() *text, s scope) {
	off, value = afterEquals(off, value)
	switch {
	case targetFlag(flag):
		if strong(value) {
			w.doubt(inner(), off, value, FormArg, nil, s)
		}
	case strong(value):
		w.take(inner(), off, value, FormArg, nil, s)
	case !imageFlag(flag):
	case isPlaceholder(value) && s.defined(value):
	default:
		w.decide(judgeVariable(strings.TrimLeft(flag, "-"), value), inner(), off, value, FormArg, nil, s)
	}
}

// defined reports whether a value refers to a variable of the same container, which was judged there.
func (s scope) defined(value string) bool {
	name, is := strings.CutPrefix(value, "$(")
	if !is {
		return false
	}
	name, _, is = strings.Cut(name, ")")
	return is && s.vars[name]
}

// admission warns of an API server that makes every pod pull always.
func (w *walker) admission(flag, value string, off int, inner func() *text, s scope) {
	if flag != "--enable-admission-plugins" && flag != "--admission-control" {
		return
	}
	const plugin = "AlwaysPullImages"
	if i := strings.Index(value, plugin); i >= 0 {
		w.warn(inner(), off+i, len(plugin), s, Warning{
			Code: CodeAlwaysPullImages, Message: "the admission plugin AlwaysPullImages makes every pod of the cluster ask the registry",
			Advice: "do not enable it on nodes without a way to the registries",
		})
	}
}
