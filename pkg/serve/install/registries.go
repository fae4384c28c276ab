package install

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// mirrors is the part of registries.yaml of k3s and RKE2 that lists hosts
// (github.com/rancher/wharfie/pkg/registries). They write a hosts.toml for each registry of
// it when they start.
type mirrors struct {
	Mirrors map[string]mirror `yaml:"mirrors"`
	Configs map[string]any    `yaml:"configs"`
}

type mirror struct {
	Endpoint []string          `yaml:"endpoint"`
	Rewrite  map[string]string `yaml:"rewrite"`
}

// everyRegistry is the key for registries without an entry.
const everyRegistry = "*"

// entryOf returns the key of m.Mirrors that is used for a registry, or would be.
func (m *mirrors) entryOf(registry string) string {
	_, every := m.Mirrors[everyRegistry]
	_, mirrored := m.Mirrors[registry]
	_, configured := m.Configs[registry]
	if every && !mirrored && !configured {
		return everyRegistry
	}
	return registry
}

// parseMirrors parses a registries.yaml.
func parseMirrors(raw []byte) (*mirrors, error) {
	var m mirrors
	if err := yaml.Unmarshal(raw, &m); err != nil {
		return nil, plainYAML(err)
	}
	return &m, nil
}

// wiredMirrors returns the keys of the mirrors that have an endpoint in raw because of blocks,
// in base, which is raw without them, not.
func wiredMirrors(raw, base []byte) []string {
	with, err := parseMirrors(raw)
	without, err2 := parseMirrors(base)
	if err != nil || err2 != nil {
		return nil
	}
	var keys []string
	for key, m := range with.Mirrors {
		if len(m.Endpoint) > len(without.Mirrors[key].Endpoint) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// wireMirrors returns the content of registries.yaml with the host as the first endpoint of
// the mirrors with the keys, where raw is the one in place, without blocks of ours.
func wireMirrors(raw []byte, o origin, host string, keys []string) ([]byte, error) {
	typed, err := parseMirrors(raw)
	if err != nil {
		return nil, err
	}
	var want, got map[string]any
	if err := yaml.Unmarshal(raw, &want); err != nil {
		return nil, plainYAML(err)
	}
	out := raw
	var missing []string
	for _, key := range keys {
		m, ok := typed.Mirrors[key]
		switch i := slices.Index(m.Endpoint, host); {
		case i == 0:
			continue
		case i > 0:
			return nil, fmt.Errorf("mirror %q has the endpoint %s, but not as its first", key, host)
		case !ok:
			missing = append(missing, key)
		default:
			item := addition{lines: []string{fmt.Sprintf("- %q", host)}, flow: fmt.Sprintf("%q", host)}
			if out, err = item.insert(out, o, "mirrors", key, "endpoint"); err != nil {
				return nil, fmt.Errorf("mirror %q: %w", key, err)
			}
		}
		want = withEndpoint(want, host, key)
	}
	if len(missing) > 0 { // in one block: the first key of mirrors may be the place for it
		if out, err = entries(missing, host).insert(out, o, "mirrors"); err != nil {
			return nil, err
		}
	}
	if yaml.Unmarshal(out, &got) != nil || !reflect.DeepEqual(got, want) || !restores(out, raw) {
		return nil, errForm
	}
	return out, nil
}

// errForm reports YAML to which nothing can be added without writing it in another form.
var errForm = errors.New("it is written in a form that cannot be added to")

// plainYAML returns the error without what it quotes, which may be a password.
func plainYAML(err error) error {
	var wrong *yaml.TypeError
	if errors.As(err, &wrong) {
		return errors.New("a value has the wrong type, so k3s does not start with it")
	}
	return errors.New("not YAML, so k3s does not start with it")
}

// withEndpoint returns the document with the host as the first endpoint of a mirror.
func withEndpoint(doc map[string]any, host, key string) map[string]any {
	child := func(m map[string]any, key string) map[string]any {
		out := map[string]any{}
		if old, ok := m[key].(map[string]any); ok {
			out = old
		}
		m[key] = out
		return out
	}
	if doc == nil {
		doc = map[string]any{}
	}
	m := child(child(doc, "mirrors"), key)
	rest, _ := m["endpoint"].([]any)
	m["endpoint"] = append([]any{host}, rest...)
	return doc
}

// addition is what is added to a mapping or a sequence, in both styles of YAML.
type addition struct {
	lines []string // of the block style
	flow  string   // of the flow style
}

// entries returns new mirrors, by key, with the host as their endpoint.
func entries(keys []string, host string) addition {
	var a addition
	for _, key := range keys {
		item := addition{lines: []string{fmt.Sprintf("- %q", host)}, flow: fmt.Sprintf("%q", host)}
		item = item.below("endpoint").below(key)
		a.lines = append(a.lines, item.lines...)
		a.flow += item.flow + ", "
	}
	a.flow = strings.TrimSuffix(a.flow, ", ")
	return a
}

// below returns a key with the addition as its value.
func (a addition) below(key string) addition {
	bracket := "%q: {%s}"
	if key == "endpoint" {
		bracket = "%q: [%s]"
	}
	flow := fmt.Sprintf(bracket, key, a.flow)
	if strings.ContainsAny(key, ":*[") {
		key = fmt.Sprintf("%q", key)
	}
	lines := []string{key + ":"}
	for _, line := range a.lines {
		lines = append(lines, "  "+line)
	}
	return addition{lines: lines, flow: flow}
}

// insert inserts the addition as the first of the node at the path. What is missing of the
// path is added as well.
func (a addition) insert(raw []byte, o origin, path ...string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(raw, &doc); err != nil {
		return nil, plainYAML(err)
	}
	var node, name *yaml.Node
	if doc.Kind != 0 {
		node = doc.Content[0]
	}
	for node != nil && node.Kind == yaml.MappingNode && len(path) > 0 {
		key, value := child(node, path[0])
		if value == nil {
			break
		}
		node, name, path = value, key, path[1:]
	}
	for _, key := range slices.Backward(path) {
		a = a.below(key)
	}
	switch {
	case node == nil || isEmpty(node) && name == nil:
		return insertLines(raw, len(raw), 0, o, a.lines), nil
	case isEmpty(node):
		return insertLines(raw, lineOf(raw, name.Line+1), name.Column+1, o, a.lines), nil
	case node.Kind == yaml.MappingNode || node.Kind == yaml.SequenceNode:
		return a.into(raw, o, node)
	}
	return nil, errForm
}

// isEmpty reports whether a node is a value that is missing.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Tag == "!!null" && n.Value == "" && n.Anchor == ""
}

// into inserts the addition as the first of a mapping or sequence.
func (a addition) into(raw []byte, o origin, node *yaml.Node) ([]byte, error) {
	line := lineOf(raw, node.Line)
	at := columnOf(raw, line, node.Column)
	before := bytes.TrimPrefix(raw[line:at], []byte("\uFEFF"))
	indent := len(before) - len(bytes.TrimLeft(before, " "))
	switch {
	case node.Style&yaml.FlowStyle != 0 && at < len(raw) && (raw[at] == '[' || raw[at] == '{'):
		return insertInline(raw, at+1, indent+2, a.flow+","), nil
	case node.Style&yaml.FlowStyle == 0 && indent == len(before):
		return insertLines(raw, aboveComment(raw, at-indent), indent, o, a.lines), nil
	}
	return nil, errForm
}

// child returns the key node and the value node of a key of a mapping.
func child(mapping *yaml.Node, key string) (name, value *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if n := mapping.Content[i]; n.Kind == yaml.ScalarNode && n.Value == key {
			return n, mapping.Content[i+1]
		}
	}
	return nil, nil
}

// lineOf returns the offset of a line, counted from 1.
func lineOf(raw []byte, n int) int {
	at := 0
	for range n - 1 {
		i := bytes.IndexByte(raw[at:], '\n')
		if i < 0 {
			return len(raw)
		}
		at += i + 1
	}
	return at
}

// columnOf returns the offset of a column, counted from 1 in characters, of the line at an
// offset.
func columnOf(raw []byte, at, n int) int {
	for range n - 1 {
		_, size := utf8.DecodeRune(raw[at:])
		at += size
	}
	return at
}
