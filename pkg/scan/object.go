package scan

import (
	_ "embed"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// object is what is known of the object being walked.
type object struct {
	Object
	builtin bool       // a kind of Kubernetes with a pod spec
	paths   [][]string // of a custom resource: where its images are required beyond the rule
}

// objectOf returns the object whose fields are f.
func objectOf(f fields, b *budget) object {
	var o object
	o.APIVersion, o.Kind = f.text("apiVersion"), f.text("kind")
	if o.Kind == "" {
		o.APIVersion = ""
		return o
	}
	text := func(key string) string { return strings.Clone(scalarText(b.dig(f.get("metadata"), key))) }
	o.Namespace, o.Name = text("namespace"), text("name")
	if o.Name == "" {
		o.Name = text("generateName")
	}
	o.builtin = builtin(o.APIVersion, o.Kind)
	o.paths = kinds().pulled[kindKey{apiGroup(o.APIVersion), o.Kind}]
	return o
}

// ignoredKind reports whether an object, which may stand inside another one, names images
// that are never pulled. The values of Secrets are never searched for images.
func ignoredKind(f fields) bool {
	kind := f.text("kind")
	if kind == "" || f.get("apiVersion") == nil {
		return false
	}
	group := apiGroup(f.text("apiVersion"))
	return kinds().ignored[kindKey{group, kind}] || kind == "Secret" && group == ""
}

// accountSecret is a pull secret of a service account, both as namespace/name.
type accountSecret struct{ account, secret string }

// accountSecrets returns the pull secrets of the service account o with the fields f.
func accountSecrets(o object, f fields, b *budget) []accountSecret {
	namespace := namespaceOf(o.Namespace) + "/"
	var out []accountSecret
	for _, name := range b.names(f.get("imagePullSecrets")) {
		out = append(out, accountSecret{account: namespace + o.Name, secret: namespace + name})
	}
	return out
}

//go:embed data/kinds.yaml
var kindsData []byte

// kindRow is a row of data/kinds.yaml.
type kindRow struct {
	Group string
	Kind  string
	Paths []string
}

type kindKey struct{ group, kind string }

// kindTable is data/kinds.yaml, by group and kind.
type kindTable struct {
	pulled  map[kindKey][][]string
	ignored map[kindKey]bool
}

var kinds = sync.OnceValue(func() kindTable {
	var file struct{ Pulled, Ignored []kindRow }
	if err := yaml.Unmarshal(kindsData, &file); err != nil {
		panic("scan: data/kinds.yaml: " + err.Error())
	}
	t := kindTable{pulled: map[kindKey][][]string{}, ignored: map[kindKey]bool{}}
	for _, r := range file.Pulled {
		for _, p := range r.Paths {
			key := kindKey{r.Group, r.Kind}
			t.pulled[key] = append(t.pulled[key], strings.Split(p, "."))
		}
	}
	for _, r := range file.Ignored {
		t.ignored[kindKey{r.Group, r.Kind}] = true
	}
	return t
})

// builtin reports whether a kind of Kubernetes itself holds a pod spec. A document without
// apiVersion is judged by its kind alone.
func builtin(apiVersion, kind string) bool {
	switch apiGroup(apiVersion) {
	case "", "apps", "batch", "extensions":
	default:
		return false
	}
	switch kind {
	case "Pod", "PodTemplate", "ReplicationController", "ReplicaSet", "Deployment", "DaemonSet", "StatefulSet", "Job", "CronJob":
		return true
	}
	return false
}

// apiGroup returns the group of an apiVersion: "apps" of apps/v1, "" of v1.
func apiGroup(apiVersion string) string {
	group, _, is := strings.Cut(apiVersion, "/")
	if !is {
		return ""
	}
	return group
}
