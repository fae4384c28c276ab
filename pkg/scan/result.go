package scan

import "slices"

// Result holds what a [Scanner] has found so far.
type Result struct {
	// References holds every occurrence of an image, or the first of equal ones (see
	// [Options.Distinct]), in the order of the inputs and of the places in them.
	References []Reference `json:"references"`
	// Warnings are in the same order. An operator named several times in one file has one
	// warning.
	Warnings []Warning `json:"warnings,omitempty"`
	// Secrets with registry accounts, in the same order.
	Secrets []Secret `json:"secrets,omitempty"`
	// LeftOut are the images that lock files name as not available.
	LeftOut []LeftOut `json:"skipped,omitempty"`
	// Documents is the number of objects read; the items of a List count one by one.
	Documents int `json:"documents"`
}

// Image is one image with all its occurrences.
type Image struct {
	Name            string      // normalised, see [Reference.Name]
	Class           Class       // Required when one of the references is
	OS              string      // "windows" when every reference is
	ClusterInternal bool        // see [Reference.ClusterInternal]
	References      []Reference // in order, never empty
}

// Class says when an image is pulled.
type Class string

// The two classes. See the package documentation.
const (
	Required Class = "required"
	Indirect Class = "indirect"
)

// Form says how a reference is written. The values are stable: they are part of the JSON
// output.
type Form string

// The forms and what they stand for.
const (
	FormContainer  Form = "container"           // containers[].image
	FormInit       Form = "init-container"      // initContainers[].image
	FormEphemeral  Form = "ephemeral-container" // ephemeralContainers[].image
	FormVolume     Form = "image-volume"        // volumes[].image.reference
	FormField      Form = "field"               // image, fooImage, imageName... of any other mapping
	FormRelated    Form = "related-images"      // relatedImages[].image
	FormGroup      Form = "group"               // registry, repository, tag and digest in separate fields
	FormEnv        Form = "env"                 // {name: *IMAGE*, value: REF}
	FormArg        Form = "arg"                 // a word of args or command
	FormScalar     Form = "scalar"              // a whole value with registry and tag, or with a digest
	FormText       Form = "text"                // a line of a text that is neither YAML nor JSON
	FormAnnotation Form = "annotation"          // an annotation of a pod template that names an image
	FormList       Form = "list"                // a line of an image list
)

// Object identifies an object of the input. The fields are as written. A reference in the
// text of a ConfigMap belongs to the ConfigMap. All fields are empty for image lists and
// documents without a kind.
type Object struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
}

// String returns kind/name, or kind/namespace/name: "DaemonSet/kube-system/calico-node". It
// is the kind alone for an object without a name.
func (o Object) String() string {
	switch {
	case o.Kind == "" || o.Name == "":
		return o.Kind
	case o.Namespace == "":
		return o.Kind + "/" + o.Name
	default:
		return o.Kind + "/" + o.Namespace + "/" + o.Name
	}
}

// Position is a place in an input. Line and Column count from 1, Column in bytes. In a
// UTF-16 input the column is that of the text as UTF-8.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// Reference is one image reference at one place.
type Reference struct {
	// Name is the normalised reference: "docker.io/library/busybox:latest" for "busybox".
	// It keeps both tag and digest when both are written.
	Name string `json:"name"`
	// Text is the reference as written. With the form "group" it is joined from the fields.
	Text  string `json:"text"`
	Class Class  `json:"class"`
	Form  Form   `json:"form"`
	// Position is that of the reference's first byte, also inside embedded text. When
	// escapes or folding leave no such byte, it is the position of the value that holds the
	// reference.
	Position
	Object Object `json:"object"`
	// Field is the path from the root of the object:
	// spec.template.spec.containers[0].image. " > " separates it from a path inside a text
	// value.
	Field string `json:"field,omitempty"`
	// Container is the name of the container that holds the reference, if any.
	Container string `json:"container,omitempty"`
	// PullPolicy is the imagePullPolicy written beside the reference, or "".
	PullPolicy string `json:"pullPolicy,omitempty"`
	// PullSecrets are the image pull secrets of the pod as namespace/name: its own, or
	// those of its service account, which the API server adds to a pod without any. The
	// namespace is "default" when none is written.
	PullSecrets []string `json:"pullSecrets,omitempty"`
	// OS is "windows" for the images of pods that only run on Windows nodes, else "".
	OS string `json:"os,omitempty"`
	// ClusterInternal is set for registries that only exist inside a cluster (*.svc and
	// *.svc.*).
	ClusterInternal bool `json:"clusterInternal,omitempty"`
	// Early is set for a container of a DaemonSet in the namespace kube-system, and for a line
	// of a lock file that says so: other pods wait for what it runs.
	Early bool `json:"early,omitempty"`
	// Locked is set for a line of a lock file whose digest was that of the tag, and for a
	// digest that [Options.FromStatus] added.
	Locked bool `json:"locked,omitempty"`
}

// Result returns what was found so far. It resolves the pull secrets of service accounts
// over all inputs: an account may be defined after the pod, or in another file.
func (s *Scanner) Result() *Result {
	accounts := map[string][]string{}
	for _, d := range s.docs {
		for _, a := range d.accounts {
			if !slices.Contains(accounts[a.account], a.secret) {
				accounts[a.account] = append(accounts[a.account], a.secret)
			}
		}
	}
	r := &Result{Documents: s.count}
	total := 0
	for _, d := range s.docs {
		total += len(d.images)
	}
	if total > 0 {
		r.References = make([]Reference, 0, total)
	}
	said := map[Warning]bool{}
	for _, d := range s.docs {
		for _, f := range d.images {
			f.PullSecrets = f.pod.pullSecrets(accounts)
			r.References = append(r.References, s.ranAs(f))
		}
		for _, w := range s.warnings(d) {
			key := Warning{Code: w.Code, Message: w.Message, Position: Position{File: w.File}}
			if w.Code == CodeOperands {
				if said[key] {
					continue
				}
				said[key] = true
			}
			r.Warnings = append(r.Warnings, w)
		}
		r.Secrets = append(r.Secrets, d.secrets...)
		r.LeftOut = append(r.LeftOut, d.leftOut...)
	}
	return r
}

// Names returns the normalised name of every image once, in the order of first appearance.
func (r *Result) Names() []string {
	names := make([]string, 0, len(r.References))
	seen := make(map[string]bool, len(r.References))
	for _, ref := range r.References {
		if !seen[ref.Name] {
			seen[ref.Name] = true
			names = append(names, ref.Name)
		}
	}
	return names
}

// Images returns every image once, with its references, in the order of first appearance.
func (r *Result) Images() []Image {
	var images []Image
	index := make(map[string]int, len(r.References))
	for _, ref := range r.References {
		i, known := index[ref.Name]
		if !known {
			i = len(images)
			index[ref.Name] = i
			images = append(images, Image{Name: ref.Name, Class: ref.Class, OS: ref.OS, ClusterInternal: ref.ClusterInternal})
		}
		img := &images[i]
		img.References = append(img.References, ref)
		if ref.Class == Required {
			img.Class = Required
		}
		if ref.OS != img.OS {
			img.OS = ""
		}
	}
	return images
}
