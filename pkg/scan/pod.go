package scan

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// pod holds what the images of a pod spec share.
type pod struct {
	namespace string
	secrets   []string // names, its own
	account   string   // name of its service account
	windows   bool
}

// podOf returns what the images of a pod spec share, or nil when f are not the fields of
// one. A pod spec has containers; the spec of another resource that names image pull
// secrets counts as well.
func podOf(f fields, namespace string, b *budget) *pod {
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
	p := &pod{namespace: namespaceOf(namespace), secrets: b.names(secrets), windows: windows(f, b)}
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

// namespaceOf returns the namespace of an object, "default" when it names none.
func namespaceOf(written string) string {
	if written == "" {
		return "default"
	}
	return written
}

func isOSLabel(key string) bool { return key == "kubernetes.io/os" || key == "beta.kubernetes.io/os" }

// windows reports whether a pod spec only runs on Windows nodes: by spec.os, its node
// selector, or every term of its required node affinity.
func windows(f fields, b *budget) bool {
	if n := b.dig(f.get("os"), "name"); isText(n) && n.Value == "windows" {
		return true
	}
	if n := f.get("nodeSelector"); n != nil && n.Kind == yaml.MappingNode {
		labels, _ := b.fields(n, 0)
		for _, p := range labels {
			if isOSLabel(p.key) && p.value.Value == "windows" {
				return true
			}
		}
	}
	terms := b.dig(f.get("affinity"), "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
	if terms == nil || terms.Kind != yaml.SequenceNode || len(terms.Content) == 0 {
		return false
	}
	for _, t := range terms.Content {
		if !windowsTerm(b.dig(t, "matchExpressions"), b) {
			return false
		}
	}
	return true
}

// windowsTerm reports whether one of the expressions of a term is "os In [windows]". A node
// must match all of them.
func windowsTerm(expressions *yaml.Node, b *budget) bool {
	if expressions == nil || expressions.Kind != yaml.SequenceNode {
		return false
	}
	for _, e := range expressions.Content {
		if e = resolve(e); e == nil || e.Kind != yaml.MappingNode {
			continue
		}
		f, _ := b.fields(e, 0)
		values := b.names(f.get("values"))
		if isOSLabel(f.text("key")) && f.text("operator") == "In" && len(values) == 1 && values[0] == "windows" {
			return true
		}
	}
	return false
}

// alwaysPolicy returns the value of imagePullPolicy: Always, or nil.
func alwaysPolicy(f fields) *yaml.Node {
	if n := f.get("imagePullPolicy"); isText(n) && n.Value == "Always" {
		return n
	}
	return nil
}

// pullPolicy returns the policy written beside an image, or "".
func pullPolicy(f fields) string {
	if p := f.text("imagePullPolicy"); p != "" {
		return p
	}
	return f.text("pullPolicy")
}

// pullSecrets returns the pull secrets of a pod as namespace/name. The API server adds
// those of the service account only to a pod that names none (admission plugin
// ServiceAccount).
func (p *pod) pullSecrets(accounts map[string][]string) []string {
	switch {
	case p == nil:
		return nil
	case len(p.secrets) > 0:
		out := make([]string, len(p.secrets))
		for i, s := range p.secrets {
			out[i] = p.namespace + "/" + s
		}
		return out
	}
	return slices.Clone(accounts[p.namespace+"/"+p.account])
}

// ofContainer reports whether a reference is that of a container, whose pull policy has a
// default.
func (f *found) ofContainer() bool {
	return f.Form == FormContainer || f.Form == FormInit || f.Form == FormEphemeral
}
