package scan

import "gopkg.in/yaml.v3"

// budget counts what a document uses of the limits. The first limit that is exceeded ends
// the walk.
type budget struct {
	limits
	visits   int   // nodes seen, aliases followed
	found    int   // references and warnings
	exceeded Limit // empty while all limits hold
}

// visit counts a node at a depth and reports whether the walk may go on with it.
func (b *budget) visit(depth int) bool {
	b.visits++
	switch {
	case b.exceeded != "":
	case depth > b.depth:
		b.exceeded = LimitDepth
	case b.visits > b.nodes:
		b.exceeded = LimitNodes
	}
	return b.exceeded == ""
}

// finding counts a reference or a warning.
func (b *budget) finding() {
	if b.found++; b.found > b.findings && b.exceeded == "" {
		b.exceeded = LimitFindings
	}
}

// pair is an entry of a mapping.
type pair struct {
	key   string
	value *yaml.Node // aliases resolved
}

// fields are the entries of a mapping.
type fields []pair

// get returns the value under a key, or nil.
func (f fields) get(key string) *yaml.Node {
	for i := range f {
		if f[i].key == key {
			return f[i].value
		}
	}
	return nil
}

// text returns the string under a key, or "".
func (f fields) text(key string) string {
	if n := f.get(key); isText(n) {
		return n.Value
	}
	return ""
}

// fields returns the entries of a mapping, those merged with "<<" last; a direct entry
// hides a merged one. Of a key that is written twice the last entry counts, as it does for
// kubectl; repeated is set for such a mapping. depth is that of the mapping.
func (b *budget) fields(n *yaml.Node, depth int) (out fields, repeated bool) {
	out = make(fields, 0, len(n.Content)/2)
	var merged []*yaml.Node
	index := keyIndex{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := resolve(n.Content[i]), resolve(n.Content[i+1])
		switch {
		case k == nil || v == nil:
		case k.Tag == "!!merge":
			merged = append(merged, v)
		case k.Kind == yaml.ScalarNode:
			if at := index.find(out, k.Value); at >= 0 {
				repeated = true
				out[at].value = v
			} else {
				out = append(out, pair{k.Value, v})
			}
		}
	}
	if len(merged) > 0 && depth > b.depth {
		b.exceeded = LimitDepth
		return out, repeated
	}
	for _, src := range mergeSources(merged) {
		if src.Kind != yaml.MappingNode || !b.visit(0) {
			continue
		}
		inherited, again := b.fields(src, depth+1)
		repeated = repeated || again
		for _, p := range inherited {
			if index.find(out, p.key) < 0 {
				out = append(out, p)
			}
		}
	}
	return out, repeated
}

// mergeSources returns the nodes that values of "<<" name: a mapping, or a sequence of
// them.
func mergeSources(values []*yaml.Node) []*yaml.Node {
	var out []*yaml.Node
	for _, v := range values {
		sources := []*yaml.Node{v}
		if v.Kind == yaml.SequenceNode {
			sources = v.Content
		}
		for _, src := range sources {
			if src = resolve(src); src != nil {
				out = append(out, src)
			}
		}
	}
	return out
}

// keyIndex finds keys in a growing list of fields: it compares each while there are few,
// and uses a table when there are many.
type keyIndex struct {
	table map[string]int
	known int // fields in the table
}

// find returns the index of a key in f, or -1.
func (x *keyIndex) find(f fields, key string) int {
	if len(f) <= 16 {
		for i := range f {
			if f[i].key == key {
				return i
			}
		}
		return -1
	}
	if x.table == nil {
		x.table = make(map[string]int, 2*len(f))
	}
	for ; x.known < len(f); x.known++ {
		x.table[f[x.known].key] = x.known
	}
	if i, is := x.table[key]; is {
		return i
	}
	return -1
}

// repeatedKeys returns the keys of a mapping that stand in it a second time.
func repeatedKeys(n *yaml.Node) []*yaml.Node {
	var repeated []*yaml.Node
	index, seen := keyIndex{}, make(fields, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind != yaml.ScalarNode || k.Tag == "!!merge":
		case index.find(seen, k.Value) < 0:
			seen = append(seen, pair{key: k.Value})
		default:
			repeated = append(repeated, k)
		}
	}
	return repeated
}

// dig descends mappings key by key and returns the value it ends at, or nil.
func (b *budget) dig(n *yaml.Node, keys ...string) *yaml.Node {
	for _, k := range keys {
		if n = resolve(n); n == nil || n.Kind != yaml.MappingNode || !b.visit(0) {
			return nil
		}
		f, _ := b.fields(n, 0)
		n = f.get(k)
	}
	return n
}

// names returns the names in a sequence of {name: x} or of plain strings.
func (b *budget) names(n *yaml.Node) []string {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	var out []string
	for _, e := range n.Content {
		e = resolve(e)
		switch {
		case e == nil || !b.visit(0):
		case isText(e):
			out = append(out, e.Value)
		case e.Kind == yaml.MappingNode:
			f, _ := b.fields(e, 0)
			if name := f.text("name"); name != "" {
				out = append(out, name)
			}
		}
	}
	return out
}

// resolve follows an alias to its anchor.
func resolve(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode; i++ {
		if i > 8 {
			return nil
		}
		n = n.Alias
	}
	return n
}

// isText reports whether a node is a string.
func isText(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.Tag == "!!str"
}

// scalarText returns the value of a scalar of any type, or "".
func scalarText(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return n.Value
}

// hasMappings reports whether a node is a mapping, or a sequence with a mapping in it.
func hasMappings(n *yaml.Node) bool {
	if n.Kind != yaml.SequenceNode {
		return n.Kind == yaml.MappingNode
	}
	for _, e := range n.Content {
		if e = resolve(e); e != nil && e.Kind == yaml.MappingNode {
			return true
		}
	}
	return false
}
