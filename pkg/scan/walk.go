package scan

import (
	"bytes"
	"strings"

	"gopkg.in/yaml.v3"
)

// maxLevel is how deep texts inside of texts are read: a manifest in a ConfigMap, and a
// template in that manifest.
const maxLevel = 2

// walker walks the nodes of one document. Rules answer what stands in a node, the recorder
// keeps it. Each scalar is judged once, by the first rule that applies to its place.
type walker struct {
	recorder
	spoken spoken
}

// spoken is the first place of an object whose key speaks of images.
type spoken struct {
	value *yaml.Node
	at    scope
}

// root walks the root of a document: an object, a list of objects or of a node's images, or
// anything else.
func (w *walker) root(n *yaml.Node, s scope) {
	n = resolve(n)
	if n == nil || w.budget.exceeded != "" || n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		w.out.documents++
		w.object = object{}
		w.node(n, s)
		return
	}
	f, _ := w.budget.fields(n, 0)
	kind, items := f.text("kind"), f.get("items")
	if items != nil && items.Kind == yaml.SequenceNode && strings.HasSuffix(kind, "List") {
		for _, e := range items.Content {
			item := s.top()
			item.depth += 2
			if !w.budget.visit(item.depth) {
				return
			}
			w.root(e, item)
		}
		return
	}
	w.out.documents++
	w.object = objectOf(f, w.budget)
	if list := nodeImages(f, w.budget); list != nil {
		for i, e := range list {
			w.nodeImage(e, s.at("images").element(i))
		}
		return
	}
	s.path, s.custom = nil, strings.Contains(apiGroup(w.object.APIVersion), ".")
	switch {
	case kind == "Secret" && apiGroup(w.object.APIVersion) == "":
		w.secret(f, s)
	case ignoredKind(f):
	case kind == "ServiceAccount" && apiGroup(w.object.APIVersion) == "":
		w.out.accounts = append(w.out.accounts, accountSecrets(w.object, f, w.budget)...)
	default:
		if w.digests = nil; w.opts.FromStatus && kind == "Pod" && w.object.builtin {
			w.statuses(f, s)
		}
		w.resource(n, s)
	}
}

// resource walks an object and says when it names images that were not found.
func (w *walker) resource(n *yaml.Node, s scope) {
	before, answers := len(w.out.images), w.answers
	w.spoken = spoken{}
	w.node(n, s)
	warning, is := operandsOfResource(w.object.Object, len(w.out.images) > before)
	switch {
	case is:
		w.warn(warning, s.src, s.src.start(n), 0, s)
	case w.answers == answers && w.spoken.value != nil:
		w.warn(Warning{
			Code: CodeUnclear, Class: w.class(FormField, w.spoken.at),
			Message: "this resource speaks of images under " + quote(w.spoken.at.key) + " and none was found in it",
			Advice:  "add the images it uses by hand",
		}, s.src, s.src.start(w.spoken.value), 0, w.spoken.at)
	}
}

// node walks a node of which only the place is known.
func (w *walker) node(n *yaml.Node, s scope) {
	n = resolve(n)
	s.depth++
	if n == nil || !w.budget.visit(s.depth) {
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

// mapping applies the rules that need several fields at once, then walks the other fields.
func (w *walker) mapping(n *yaml.Node, s scope) {
	f, repeated := w.budget.fields(n, s.depth)
	if s.path != nil && ignoredKind(f) {
		return
	}
	if repeated {
		w.repeated(n, s)
	}
	role, shaped := containerRole(f, s)
	s.listed, s.shaped = role != "" && !shaped, shaped
	s.base = s.base.below(f)
	if role != "" {
		s.container = f.text("name")
		s.vars = variables(f.get("env"))
	}
	s.off = s.off || switchedOff(f)
	if p := podOf(f, w.object.Namespace, w.budget); p != nil {
		s.pod = p
	}
	if policy := alwaysPolicy(f); policy != nil {
		w.always(policy, s.at("imagePullPolicy"))
	}
	used := w.together(f, s)
	before := len(w.out.images)
	for _, p := range f {
		if !used[p.key] {
			w.entry(p, f, role, s)
		}
	}
	if role == FormContainer || role == FormInit {
		w.operands(before, f, s)
	}
}

// together applies the rules that judge several fields as one and returns the keys they
// used.
func (w *walker) together(f fields, s scope) map[string]bool {
	if s.listed && w.object.builtin && s.level == 0 {
		return nil // a kubelet knows no such fields
	}
	found, used := groups(f, s)
	for i := range found {
		g, at := &found[i], s
		if g.prefixed {
			at = s.at(g.repository.key)
		}
		w.record(g.repository.value, at, g.judge(f, s))
	}
	if used != nil {
		return used
	}
	if name, p, is := envVariable(f); is {
		switch at := s.at(p.key); {
		case w.object.Kind != "Template" || s.item != "parameters" || hasHost(p.value.Value):
			w.variable(name, p.value, at)
		case strings.Contains(p.value.Value, "/"): // perhaps an image stream
			w.record(p.value, at, whole(unclear, FormEnv, p.value.Value))
		}
		return map[string]bool{"name": true, p.key: true}
	}
	if value := f.get("value"); value != nil && w.patch(f.text("path"), f.text("op"), value, s.at("value")) {
		return map[string]bool{"path": true, "value": true}
	}
	return nil
}

// patch walks the value of a JSON patch (RFC 6902) and reports whether it sets an image or
// a container.
func (w *walker) patch(path, op string, value *yaml.Node, s scope) bool {
	container := strings.Contains(path, "/containers/") || strings.Contains(path, "/initContainers/")
	parent, last := path[:max(strings.LastIndexByte(path, '/'), 0)], path[strings.LastIndexByte(path, '/')+1:]
	switch {
	case parent == "" || op == "remove" || op == "test":
		return false
	case last == "image" && container:
		w.image(value, FormContainer, nil, s)
	case imageKey(last):
		w.image(value, FormField, nil, s)
	case strings.HasSuffix(parent, "ontainers"):
		s.item = parent[strings.LastIndexByte(parent, '/')+1:]
		w.node(value, s)
	default:
		return false
	}
	return true
}

// repeated warns of keys that are written twice: most often, a marker between two documents
// is missing.
func (w *walker) repeated(n *yaml.Node, s scope) {
	for _, k := range repeatedKeys(n) {
		w.warn(Warning{
			Code: CodeDuplicateKey, Message: "the key " + quote(k.Value) + " appears twice in one mapping; only the last one counts",
			Advice: "remove one, or separate two documents by a line of three dashes",
		}, s.src, s.src.start(k), 0, s.at(k.Value))
	}
}

// operands warns of a container that runs an operator. before is the number of references
// found before those of the container.
func (w *walker) operands(before int, f fields, s scope) {
	image := f.get("image")
	if s.level > 0 || !isText(image) {
		return
	}
	named := false
	for _, ref := range w.out.images[before:] {
		named = named || ref.Form == FormEnv || ref.Form == FormArg
	}
	if warning, is := operandsOf(image.Value, named); is {
		w.warn(warning, s.src.inner(image), 0, len(image.Value), s.at("image"))
	}
}

// entry chooses the rule for a field by its key.
func (w *walker) entry(p pair, f fields, role Form, s scope) {
	at := s.at(p.key)
	switch {
	case skippedKey(p.key), targetKey(p.key), excludedKey(p.key), w.skips(at),
		p.key == "status" && s.path == nil && s.level == 0 && w.object.Kind != "",
		strings.HasPrefix(p.key, "_") && (s.key == "data" || s.level > 0):
		return
	case w.spoken.value == nil && w.object.APIVersion != "" && s.level == 0 && speaks(p):
		w.spoken = spoken{p.value, at}
	}
	switch {
	case p.key == "annotations" && s.key == "metadata":
		w.annotations(p.value, at)
	case (p.key == "tag" || p.key == "tags") && !hasMappings(p.value):
		w.targets(p.value, at)
	case isArgs(p.key) && p.value.Kind == yaml.SequenceNode:
		w.command(p.value, at)
	case p.key == "image" && role != "":
		w.image(p.value, role, f, at)
	case s.item == "relatedImages" && p.key == "image":
		w.image(p.value, FormRelated, f, at)
	case p.key == "reference" && s.item == "" && imageKey(s.key):
		w.image(p.value, FormVolume, f, at)
	case imageKey(p.key):
		w.image(p.value, FormField, f, at)
	case p.key == "name" && imagesKey(s.item) && namesImage(f):
		w.image(p.value, FormField, f, at)
	case imagesKey(p.key):
		if at.images = true; hasMappings(p.value) {
			w.images(p.value, s.key, at)
		} else {
			w.image(p.value, FormField, f, at)
		}
	default:
		w.node(p.value, at)
	}
}

// scalar walks a value under a key that promises nothing. A text may hold YAML or JSON.
func (w *walker) scalar(n *yaml.Node, s scope) {
	v := n.Value
	switch {
	case !isText(n):
	case s.images && len(v) < maxText && !strings.ContainsAny(v, "\n{["):
		w.record(n, s, judgeLeaf(s.key, v, s.path != nil && s.path.up != nil && imagesKey(s.path.up.key)))
	case len(v) < 5:
	case strings.IndexByte(v, '\n') >= 0, v[0] == '{', v[0] == '[':
		w.embedded(n, s)
	default:
		c := judgeScalar(v)
		if c.verdict == unclear && w.object.modelServer() {
			c.verdict = take // no chart or manifests, but a model
		}
		w.record(n, s, c)
	}
}

// variable walks the value of a variable whose name suggests images.
func (w *walker) variable(name string, n *yaml.Node, s scope) {
	if isStructure(n.Value) {
		s.images = true
		w.embedded(n, s)
		return
	}
	w.record(n, s, judgeVariableText(name, n.Value)...)
}

// command walks the arguments of a command line.
func (w *walker) command(n *yaml.Node, s scope) {
	s.depth++
	if !w.budget.visit(s.depth) {
		return
	}
	line := command{vars: s.vars}
	for i, e := range n.Content {
		at := s.element(i)
		at.depth++
		e = resolve(e)
		switch {
		case e == nil || !w.budget.visit(at.depth):
		case e.Kind != yaml.ScalarNode:
			w.node(e, at)
			line.flag = ""
		case !isText(e):
			line.flag = ""
		case opensCollection(e.Value) && (strings.ContainsAny(e.Value, " \t\n") || isJSON(e.Value)):
			w.embedded(e, at)
		default:
			if strings.Contains(e.Value, "\n") {
				at.path = &path{up: at.path, inner: true}
			}
			w.record(e, at, line.argument(e.Value)...)
		}
	}
}

// targets walks keys named tag: a complete reference there is what a build is to make.
func (w *walker) targets(n *yaml.Node, s scope) {
	switch n.Kind {
	case yaml.SequenceNode:
		for i, e := range n.Content {
			if e = resolve(e); e != nil && w.budget.visit(0) && e.Kind == yaml.ScalarNode {
				w.targets(e, s.element(i))
			}
		}
	case yaml.ScalarNode:
		if isText(n) && strong(n.Value) {
			w.record(n, s, whole(unclear, FormField, n.Value))
		}
	}
}

// annotations walks annotations. Sidecar injectors look for images in those of pod
// templates. All others document; those that look like images are named in a warning.
func (w *walker) annotations(n *yaml.Node, s scope) {
	s.depth++
	if n.Kind != yaml.MappingNode || !w.budget.visit(s.depth) {
		return
	}
	meta := s.path.up // .metadata
	inTemplate := meta.up == nil && w.object.Kind == "Pod" || meta.up != nil && meta.up.key == "template"
	s.annotated = s.level == 0 && (inTemplate || apiGroup(w.object.APIVersion) == "kubevirt.io")
	f, _ := w.budget.fields(n, s.depth)
	for _, p := range f {
		at := s.at(p.key)
		switch {
		case !isText(p.value):
		case s.annotated && opensCollection(p.value.Value):
			if !copiedKey(p.key) && isJSON(p.value.Value) {
				w.embedded(p.value, at)
			}
		case !imageKey(p.key) || judgeField(p.value.Value) != take:
		case inTemplate:
			w.record(p.value, at, whole(take, FormAnnotation, p.value.Value))
		case strings.Contains(p.key, "/"):
			w.record(p.value, at, whole(unclear, FormAnnotation, p.value.Value))
		}
	}
}

// embedded walks a text value: as YAML or JSON with the same rules when it is a mapping or
// a list, else as a script or line by line (templates, properties).
func (w *walker) embedded(n *yaml.Node, s scope) {
	if s.level >= maxLevel || !s.images && !mentionsImage(n.Value) {
		return
	}
	t := s.src.inner(n)
	s = s.embedded(t)
	if s.annotated {
		s.key = "containers" // the elements of a list
	}
	roots, bad := decode(t, w.budget.limits)
	var found []candidate
	switch {
	case bad == nil && hasCollection(roots):
		for _, r := range roots {
			w.node(r, s)
		}
		return
	case strings.HasPrefix(n.Value, "#!"):
		script := command{vars: s.vars}
		found = script.script(n.Value)
	default:
		w.budget.visits += lineCount(n.Value)
		found = judgeText(t.raw)
	}
	for _, c := range found {
		w.add(c, t, s)
	}
}

// record adds what a rule answered about a scalar.
func (w *walker) record(n *yaml.Node, s scope, found ...candidate) {
	var t *text
	for _, c := range found {
		if c.verdict == ignore {
			continue
		}
		if t == nil {
			t = s.src.inner(n)
		}
		w.add(c, t, s)
	}
}

// templateAt returns a value like {{ .Values.image }} without quotes as written. YAML reads
// it as a mapping whose key is a mapping.
func templateAt(n *yaml.Node, t *text) (v string, off int, is bool) {
	if n.Style&yaml.FlowStyle == 0 || t.json {
		return "", 0, false
	}
	off = t.start(n)
	line := t.raw[min(off, len(t.raw)):]
	if !bytes.HasPrefix(line, []byte("{{")) {
		return "", 0, false
	}
	if i := bytes.IndexByte(line, '\n'); i >= 0 {
		line = line[:i]
	}
	return string(bytes.TrimSpace(line)), off, true
}

// containerRole returns the form of a mapping that describes a container, or "". Such a
// mapping stands in a list of containers, or, in the resources of workflow engines, has
// fields beside its image that only a container has. shaped is set when nothing but these
// fields shows the container.
func containerRole(f fields, s scope) (role Form, shaped bool) {
	switch s.item {
	case "containers":
		return FormContainer, false
	case "initContainers":
		return FormInit, false
	case "ephemeralContainers":
		return FormEphemeral, false
	}
	if f.get("image") == nil {
		return "", false
	}
	shaped = s.item == "" && s.key != "script" && !strings.HasSuffix(s.key, "ontainer")
	if s.item == "steps" || s.item == "sidecars" {
		return FormContainer, false
	}
	for _, key := range [...]string{"command", "args", "env", "volumeMounts", "envFrom"} {
		if n := f.get(key); n != nil && n.Kind == yaml.SequenceNode {
			return FormContainer, shaped
		}
	}
	if f.text("script") != "" || f.text("source") != "" || f.text("workingDir") != "" {
		return FormContainer, shaped
	}
	return "", false
}

// hasCollection reports whether one of the roots is a mapping or a sequence.
func hasCollection(roots []*yaml.Node) bool {
	for _, r := range roots {
		if r.Kind == yaml.MappingNode || r.Kind == yaml.SequenceNode {
			return true
		}
	}
	return false
}
