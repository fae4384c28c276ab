package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// maxLevel is how deep texts inside of texts are read: a manifest in a ConfigMap, and a template in that manifest.
const maxLevel = 2

// walker goes over the nodes of one document and collects what it finds. Each scalar is judged once, by the first rule
// that applies to the place where it stands.
type walker struct {
	file   string
	opts   *Options
	limits limits
	out    *docResult

	object   object // the one being walked
	visits   int    // nodes seen, aliases followed
	repeated int    // keys seen twice
	exceeded Limit  // a limit was hit: stop walking
}

// object is what is known of the object being walked.
type object struct {
	Object
	builtin bool     // a kind of Kubernetes with a pod spec
	paths   []string // of a custom resource: where its images are required
}

// scope is what is known of the place where a node stands. It goes down by value.
type scope struct {
	src       *text
	path      *path
	key       string // the nearest key above, through sequences
	item      string // the key of the sequence this node is an element of, else empty
	depth     int
	level     int // texts inside of texts
	container string
	pod       *pod
	vars      map[string]bool // environment variables of the container
}

// at is the scope of a mapping's value.
func (s scope) at(key string) scope {
	s.path = &path{up: s.path, key: key}
	s.key, s.item = key, ""
	return s
}

// element is the scope of a sequence's element.
func (s scope) element(i int) scope {
	s.path = &path{up: s.path, index: i}
	s.item = s.key
	return s
}

// enter counts a node and reports whether to go on with it.
func (w *walker) enter(s *scope) bool {
	w.visits++
	s.depth++
	switch {
	case w.exceeded != "":
	case s.depth > w.limits.depth:
		w.exceeded = LimitDepth
	case w.visits > w.limits.nodes:
		w.exceeded = LimitNodes
	}
	return w.exceeded == ""
}

// node walks a node of which nothing is known but its place.
func (w *walker) node(n *yaml.Node, s scope) {
	n = resolve(n)
	if n == nil || !w.enter(&s) {
		return
	}
	switch n.Kind {
	case yaml.MappingNode:
		w.mapping(n, s)
	case yaml.SequenceNode:
		for i, e := range n.Content {
			w.node(e, s.element(i))
		}
	case yaml.ScalarNode:
		w.scalar(n, s)
	}
}

// pair is an entry of a mapping.
type pair struct {
	key   string
	value *yaml.Node // aliases resolved
}

type fields []pair

// get gives the value under a key, or nil.
func (f fields) get(key string) *yaml.Node {
	for i := range f {
		if f[i].key == key {
			return f[i].value
		}
	}
	return nil
}

// text gives the string under a key, or "".
func (f fields) text(key string) string {
	if n := f.get(key); isText(n) {
		return n.Value
	}
	return ""
}

// fields lists the entries of a mapping, those merged with "<<" last; an entry of its own hides a merged one. Of a key
// that is written twice the last entry counts, as it does for kubectl.
func (w *walker) fields(n *yaml.Node, depth int) fields {
	out := make(fields, 0, len(n.Content)/2)
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
				w.repeated++
				out[at].value = v
			} else {
				out = append(out, pair{k.Value, v})
			}
		}
	}
	if len(merged) > 0 && depth > w.limits.depth {
		w.exceeded = LimitDepth
		return out
	}
	for _, m := range merged {
		sources := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			sources = m.Content
		}
		for _, src := range sources {
			if src = resolve(src); src == nil || src.Kind != yaml.MappingNode || !w.enter(&scope{}) {
				continue
			}
			for _, p := range w.fields(src, depth+1) {
				if index.find(out, p.key) < 0 {
					out = append(out, p)
				}
			}
		}
	}
	return out
}

// keyIndex finds keys of a growing list of fields: by looking at each while there are few, by a table when there are many.
type keyIndex struct {
	table map[string]int
	known int // fields in the table
}

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

// mapping applies the rules that need several fields at once, then goes through the rest key by key.
func (w *walker) mapping(n *yaml.Node, s scope) {
	repeated := w.repeated
	f := w.fields(n, s.depth)
	if s.path != nil && ignoredKind(f) {
		return
	}
	if w.repeated > repeated {
		w.duplicates(n, s)
	}
	role := containerRole(f, s.item)
	if role != "" {
		s.container = f.text("name")
		s.vars = variables(f.get("env"))
	}
	if p := w.podOf(f); p != nil {
		s.pod = p
	}
	w.policy(f, s)
	used := w.group(f, s)
	if used == "" {
		used = w.env(f, s)
	}
	before := len(w.out.images)
	for _, p := range f {
		if strings.Contains(used, "\x00"+p.key+"\x00") {
			continue
		}
		w.entry(p, f, role, s)
	}
	if role == FormContainer || role == FormInit {
		w.operandsOf(before, f, s)
	}
}

// duplicates warns of keys that are written twice: most often, a marker between two documents is missing.
func (w *walker) duplicates(n *yaml.Node, s scope) {
	index, seen := keyIndex{}, make(fields, 0, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind != yaml.ScalarNode || k.Tag == "!!merge" {
			continue
		}
		if index.find(seen, k.Value) < 0 {
			seen = append(seen, pair{key: k.Value})
			continue
		}
		w.warn(s.src, s.src.start(k), 0, s.at(k.Value), Warning{
			Code: CodeDuplicateKey, Message: "the key " + quote(k.Value) + " is written twice in one mapping; only the last one counts",
			Advice: "remove one, or separate two documents by a line with three dashes",
		})
	}
}

// entry judges one entry of a mapping by its key.
func (w *walker) entry(p pair, f fields, role Form, s scope) {
	at := s.at(p.key)
	switch {
	case skippedKey(p.key), targetKey(p.key):
	case p.key == "status" && s.path == nil && s.level == 0 && w.object.Kind != "":
	case strings.HasPrefix(p.key, "_") && (s.key == "data" || s.level > 0):
	case p.key == "annotations" && s.key == "metadata":
		w.annotations(p.value, at)
	case (p.key == "tag" || p.key == "tags") && !hasMappings(p.value):
		w.target(p.value, at)
	case isArgs(p.key) && p.value.Kind == yaml.SequenceNode:
		w.args(p.value, at)
	case p.key == "image" && role != "":
		w.image(p.value, role, f, at)
	case s.item == "relatedImages" && p.key == "image":
		w.image(p.value, FormRelated, f, at)
	case p.key == "reference" && s.item == "" && imageKey(s.key):
		w.image(p.value, FormVolume, f, at)
	case imageKey(p.key), imagesKey(p.key) && !hasMappings(p.value):
		w.image(p.value, FormField, f, at)
	default:
		w.node(p.value, at)
	}
}

// containerRole tells a mapping that describes a container: by the list it stands in, or, in the resources of
// workflow engines, by fields that only a container has beside its image. It is empty for everything else.
func containerRole(f fields, item string) Form {
	switch item {
	case "containers":
		return FormContainer
	case "initContainers":
		return FormInit
	case "ephemeralContainers":
		return FormEphemeral
	}
	if f.get("image") == nil {
		return ""
	}
	if item == "steps" || item == "sidecars" {
		return FormContainer
	}
	for _, key := range [...]string{"command", "args", "env", "volumeMounts", "envFrom"} {
		if n := f.get(key); n != nil && n.Kind == yaml.SequenceNode {
			return FormContainer
		}
	}
	if f.text("script") != "" || f.text("source") != "" || f.text("workingDir") != "" {
		return FormContainer
	}
	return ""
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

func isText(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && n.Tag == "!!str"
}

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
