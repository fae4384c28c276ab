package scan

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// object is what is known of the object being walked.
type object struct {
	Object
	builtin bool       // a kind of Kubernetes with a pod spec
	paths   [][]string // of a custom resource: where its images are required beyond the rule
	read    [][]string // of a policy: where it names images that are pulled; nil: everywhere
	skip    [][]string // where it names images that are not pulled

	versioned bool // its version is the tag of its images
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
	key := kindKey{apiGroup(o.APIVersion), o.Kind}
	o.paths = kinds().pulled[key]
	o.versioned = kinds().versioned[key]
	if row, is := kinds().partly[key]; is {
		o.read, o.skip = splitPaths(row.Read), splitPaths(row.Skip)
	}
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
	return kinds().ignored[kindKey{group, kind}] || kinds().ignored[kindKey{group, ""}] || kind == "Secret" && group == ""
}

// modelServer reports whether the object is one of KServe, which pulls models as images.
func (o *object) modelServer() bool { return apiGroup(o.APIVersion) == "serving.kserve.io" }

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
	Group      string
	Kind       string
	Paths      []string
	Read, Skip []string
}

type kindKey struct{ group, kind string }

// kindTable is data/kinds.yaml, by group and kind. An empty kind stands for all kinds of a
// group.
type kindTable struct {
	pulled    map[kindKey][][]string
	ignored   map[kindKey]bool
	partly    map[kindKey]kindRow
	versioned map[kindKey]bool
}

var kinds = sync.OnceValue(func() kindTable {
	var file struct{ Pulled, Ignored, Partly, Versioned []kindRow }
	if err := yaml.Unmarshal(kindsData, &file); err != nil {
		panic("scan: data/kinds.yaml: " + err.Error())
	}
	t := kindTable{map[kindKey][][]string{}, map[kindKey]bool{}, map[kindKey]kindRow{}, map[kindKey]bool{}}
	for _, r := range file.Pulled {
		t.pulled[kindKey{r.Group, r.Kind}] = splitPaths(r.Paths)
	}
	for _, r := range file.Ignored {
		t.ignored[kindKey{r.Group, r.Kind}] = true
	}
	for _, r := range file.Partly {
		t.partly[kindKey{r.Group, r.Kind}] = r
	}
	for _, r := range file.Versioned {
		t.versioned[kindKey{r.Group, r.Kind}] = true
	}
	return t
})

// splitPaths returns the keys of paths.
func splitPaths(paths []string) [][]string {
	var out [][]string
	for _, p := range paths {
		out = append(out, strings.Split(p, "."))
	}
	return out
}

// skips reports whether the object names images at s that are never pulled.
func (r *recorder) skips(s scope) bool {
	if r.object.read == nil && r.object.skip == nil {
		return false
	}
	keys := s.path.keys()
	for _, p := range r.object.skip {
		if below(keys, p) {
			return true
		}
	}
	for _, p := range r.object.read {
		if below(keys, p) || below(p, keys) {
			return false
		}
	}
	return r.object.read != nil
}

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

// class reports whether a kubelet pulls what stands here as soon as the object is applied.
func (r *recorder) class(form Form, s scope) Class {
	if form == FormList || s.level == 0 && r.pulled(form, s) || s.level == 1 && s.annotated && form.inPod() && !s.off {
		return Required
	}
	return Indirect
}

// pulled reports whether the object makes a kubelet pull what stands at a place of it.
func (r *recorder) pulled(form Form, s scope) bool {
	o := &r.object
	switch {
	case o.builtin:
		return form.inPod() && s.pod != nil
	case s.off || !strings.Contains(apiGroup(o.APIVersion), "."):
		return false
	}
	keys := s.path.keys()
	for _, pattern := range o.paths {
		if below(keys, pattern) && (form.inPod() || form == FormField || form == FormGroup || len(pattern) == len(keys) || keys[len(keys)-1] == "storageUri") {
			return true
		}
	}
	switch form {
	case FormContainer, FormInit, FormEphemeral, FormVolume, FormField, FormGroup:
		return !descriptive(o.Kind) && (startsPod(keys) || ownImage(keys))
	}
	return false
}

// startsPod reports whether keys lead to an image of a pod spec that a controller starts:
// the containers or volumes of a pod template, of a podSpec, or of the spec of the resource
// itself.
func startsPod(keys []string) bool {
	if n := len(keys); n > 1 && keys[n-1] == "reference" {
		keys = keys[:n-1]
	}
	n := len(keys)
	if n < 3 || keys[n-1] != "image" {
		return false
	}
	switch keys[n-2] {
	case "containers", "initContainers", "ephemeralContainers", "volumes":
	default:
		return false
	}
	pod, above := keys[n-3], ""
	if n > 3 {
		above = keys[n-4]
	}
	switch {
	case pod == "spec":
		return above == "" || strings.HasSuffix(above, "emplate")
	default:
		return strings.HasSuffix(pod, "odSpec") || strings.HasSuffix(pod, "odTemplate")
	}
}

// ownImage reports whether keys lead to the image of a resource: spec.image or
// spec.imageName, also when other fields of spec hold its tag.
func ownImage(keys []string) bool {
	return len(keys) == 2 && keys[0] == "spec" && (keys[1] == "image" || keys[1] == "imageName")
}

// descriptive reports whether the resources of a kind describe what others start later.
func descriptive(kind string) bool {
	for _, end := range [...]string{"Template", "Config", "Class", "Catalog", "Runtime", "Policy", "Definition", "Task", "Strategy",
		"Profile", "Composition"} {
		if strings.HasSuffix(kind, end) {
			return true
		}
	}
	return false
}

// switchedOff reports whether one of the fields keeps a controller from starting what
// stands beside it.
func switchedOff(f fields) bool {
	return slices.ContainsFunc(f, func(e pair) bool {
		if e.value.Kind != yaml.ScalarNode {
			return false
		}
		switch e.key {
		case "enabled", "enable", "running":
			return e.value.Value == "false"
		case "suspend":
			return e.value.Value == "true"
		case "runStrategy":
			return e.value.Value == "Halted"
		case "replicas":
			return e.value.Value == "0"
		}
		return false
	})
}

// keys returns the keys of a path, without indexes and steps into texts.
func (p *path) keys() []string {
	var keys []string
	for ; p != nil; p = p.up {
		if p.key != "" {
			keys = append(keys, p.key)
		}
	}
	slices.Reverse(keys)
	return keys
}

// below reports whether keys are at or below a pattern.
func below(keys, pattern []string) bool {
	return len(keys) >= len(pattern) && slices.Equal(keys[:len(pattern)], pattern)
}
