package scan

import (
	"strings"

	"gopkg.in/yaml.v3"
)

// root walks the root of a document: an object, a list of objects, or anything else.
func (w *walker) root(n *yaml.Node, s scope) {
	n = resolve(n)
	if n == nil || w.exceeded != "" || n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		w.out.documents++
		w.object = object{}
		w.node(n, s)
		return
	}
	f := w.fields(n, 0)
	kind, items := f.text("kind"), f.get("items")
	if items != nil && items.Kind == yaml.SequenceNode && strings.HasSuffix(kind, "List") {
		s.depth++
		for _, e := range items.Content {
			item := s.top()
			if !w.enter(&item) {
				return
			}
			w.root(e, item)
		}
		return
	}
	w.out.documents++
	w.object = objectOf(f, w)
	s.path = nil
	switch {
	case kind == "Secret" && apiGroup(w.object.APIVersion) == "":
		w.secret(f, s)
	case ignoredKind(f):
	case kind == "ServiceAccount" && apiGroup(w.object.APIVersion) == "":
		w.account(f)
	default:
		before := len(w.out.images)
		w.node(n, s)
		w.operatorResource(n, len(w.out.images) > before, s)
	}
}

// top is the scope of an item of a list: paths begin anew at each object.
func (s scope) top() scope {
	s.path, s.key, s.item = nil, "", ""
	return s
}

func objectOf(f fields, w *walker) object {
	var o object
	o.APIVersion, o.Kind = f.text("apiVersion"), f.text("kind")
	if o.Kind == "" {
		o.APIVersion = ""
		return o
	}
	o.Namespace, o.Name = scalarText(w.dig(f.get("metadata"), "namespace")), scalarText(w.dig(f.get("metadata"), "name"))
	if o.Name == "" {
		o.Name = scalarText(w.dig(f.get("metadata"), "generateName"))
	}
	o.builtin = builtin(o.APIVersion, o.Kind)
	o.paths = kinds().pulled[kindKey{apiGroup(o.APIVersion), o.Kind}]
	return o
}

func scalarText(n *yaml.Node) string {
	if n == nil || n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		return ""
	}
	return strings.Clone(n.Value)
}

// ignoredKind knows objects that name images without anything being pulled, also inside of other objects. The values of
// Secrets are never looked at for images.
func ignoredKind(f fields) bool {
	kind := f.text("kind")
	if kind == "" || f.get("apiVersion") == nil {
		return false
	}
	group := apiGroup(f.text("apiVersion"))
	return kinds().ignored[kindKey{group, kind}] || kind == "Secret" && group == ""
}

// account remembers the pull secrets of a service account.
func (w *walker) account(f fields) {
	key := namespaceOf(w.object.Namespace) + "/" + w.object.Name
	for _, name := range w.names(f.get("imagePullSecrets")) {
		w.out.accounts = append(w.out.accounts, accountSecret{account: key, secret: namespaceOf(w.object.Namespace) + "/" + name})
	}
}

// accountSecret is a pull secret of a service account, both as namespace/name.
type accountSecret struct{ account, secret string }
