package scan

import "gopkg.in/yaml.v3"

// pod is what the images of a pod spec share.
type pod struct {
	namespace string
	secrets   []string // names, its own
	account   string   // name of its service account
	windows   bool
}

// podOf tells a pod spec by its containers and gives what its images share, or nil. The spec of another resource that
// names image pull secrets counts as well.
func (w *walker) podOf(f fields) *pod {
	secrets := f.get("imagePullSecrets")
	isPod := false
	for _, key := range [...]string{"containers", "initContainers", "ephemeralContainers"} {
		if n := f.get(key); n != nil && n.Kind == yaml.SequenceNode && (len(n.Content) == 0 || hasMappings(n)) {
			isPod = true
		}
	}
	if !isPod && (secrets == nil || secrets.Kind != yaml.SequenceNode) {
		return nil
	}
	p := &pod{namespace: namespaceOf(w.object.Namespace), secrets: w.names(secrets), windows: w.windows(f)}
	for _, key := range [...]string{"serviceAccount", "serviceAccountName"} {
		if v := f.text(key); v != "" {
			p.account = v
		}
	}
	if isPod && p.account == "" {
		p.account = "default"
	}
	return p
}

// namespaceOf gives the namespace an object without one goes to.
func namespaceOf(written string) string {
	if written == "" {
		return "default"
	}
	return written
}

// names lists the names of a sequence of {name: x}, or of plain strings.
func (w *walker) names(n *yaml.Node) []string {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	var out []string
	for _, e := range n.Content {
		e = resolve(e)
		switch {
		case e == nil || !w.enter(&scope{}):
		case isText(e):
			out = append(out, e.Value)
		case e.Kind == yaml.MappingNode:
			if name := w.fields(e, 0).text("name"); name != "" {
				out = append(out, name)
			}
		}
	}
	return out
}

// dig goes down mappings key by key, or gives nil.
func (w *walker) dig(n *yaml.Node, keys ...string) *yaml.Node {
	for _, k := range keys {
		if n = resolve(n); n == nil || n.Kind != yaml.MappingNode || !w.enter(&scope{}) {
			return nil
		}
		n = w.fields(n, 0).get(k)
	}
	return n
}

func isOSLabel(key string) bool { return key == "kubernetes.io/os" || key == "beta.kubernetes.io/os" }

// windows reports whether a pod spec only runs on Windows nodes: by spec.os, its node selector, or every term of its
// required node affinity.
func (w *walker) windows(f fields) bool {
	if n := w.dig(f.get("os"), "name"); isText(n) && n.Value == "windows" {
		return true
	}
	if n := f.get("nodeSelector"); n != nil && n.Kind == yaml.MappingNode {
		for _, p := range w.fields(n, 0) {
			if isOSLabel(p.key) && p.value.Value == "windows" {
				return true
			}
		}
	}
	terms := w.dig(f.get("affinity"), "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	if terms == nil || terms.Kind != yaml.SequenceNode || len(terms.Content) == 0 {
		return false
	}
	for _, t := range terms.Content {
		if !w.windowsTerm(w.dig(t, "matchExpressions")) {
			return false
		}
	}
	return true
}

// windowsTerm reports whether one of the expressions, which all have to hold, is "os In [windows]".
func (w *walker) windowsTerm(expressions *yaml.Node) bool {
	if expressions == nil || expressions.Kind != yaml.SequenceNode {
		return false
	}
	for _, e := range expressions.Content {
		if e = resolve(e); e == nil || e.Kind != yaml.MappingNode {
			continue
		}
		f := w.fields(e, 0)
		values := w.names(f.get("values"))
		if isOSLabel(f.text("key")) && f.text("operator") == "In" && len(values) == 1 && values[0] == "windows" {
			return true
		}
	}
	return false
}

// policy warns of imagePullPolicy: Always and remembers where it stands.
func (w *walker) policy(f fields, s scope) {
	n := f.get("imagePullPolicy")
	if !isText(n) || n.Value != "Always" {
		return
	}
	s = s.at("imagePullPolicy")
	t := s.src.inner(n)
	at, exact := t.place(0, len(t.raw))
	w.out.always = append(w.out.always, edit{offset: at, base: t.top().offset, exact: exact,
		Edit: Edit{Position: w.position(t, at), Field: s.path.String(), Old: n.Value, New: "IfNotPresent"}})
	w.warn(t, 0, len(t.raw), s, Warning{Code: CodePullPolicyAlways,
		Message: "imagePullPolicy Always makes the kubelet ask the registry even when the image is on the node",
		Advice:  "change it to IfNotPresent (the rewrite does that)"})
}

// pullPolicy gives the policy written beside an image.
func pullPolicy(f fields) string {
	if p := f.text("imagePullPolicy"); p != "" {
		return p
	}
	return f.text("pullPolicy")
}

// warnImage adds the warnings that follow from an image itself.
func (w *walker) warnImage(img found, n name) {
	add := func(code Code, message, advice string) {
		w.out.warnings = append(w.out.warnings, Warning{Code: code, Message: message, Advice: advice, Position: img.Position,
			Object: img.Object, Field: img.Field, Container: img.Container, Name: img.Name})
		w.counted()
	}
	if n.digest == "" && (n.tag == "" || n.tag == "latest") {
		what := img.Text + " without a tag"
		if n.tag != "" {
			what = img.Text
		}
		add(CodeMutableTag, what+" is another image after every release", "name a version, or pin the digest")
		if img.PullPolicy == "" && img.container() {
			add(CodeDefaultAlways, "without a tag or with :latest, and without imagePullPolicy, the kubelet asks the registry at every start",
				"write imagePullPolicy: IfNotPresent beside "+img.Text+", name a version, or pin the digest")
		}
	}
	switch {
	case img.ClusterInternal:
		add(CodeClusterInternal, "the registry "+n.domain+" is a service of the cluster and cannot be reached from outside",
			"the image has to be in that registry before the manifest is applied")
	case localRegistry(n.domain):
		add(CodeLocalRegistry, "the registry "+n.domain+" is another one on every machine", "make sure that it is reachable where images are pulled")
	}
	if img.OS == "windows" {
		add(CodeWindows, "the image "+img.Text+" is for Windows nodes", "a bundle for Linux nodes does without it")
	}
}

// container reports whether the image is that of a container, whose pull policy has a default.
func (f found) container() bool {
	return f.Form == FormContainer || f.Form == FormInit || f.Form == FormEphemeral
}
