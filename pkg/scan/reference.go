package scan

// Class says when an image is pulled.
type Class string

// The two classes. See the package documentation.
const (
	Required Class = "required"
	Indirect Class = "indirect"
)

// Form says how a reference was written. The values are stable: they are part of the JSON output.
type Form string

// The forms, each with what it stands for.
const (
	FormContainer  Form = "container"           // containers[].image
	FormInit       Form = "init-container"      // initContainers[].image
	FormEphemeral  Form = "ephemeral-container" // ephemeralContainers[].image
	FormVolume     Form = "image-volume"        // volumes[].image.reference
	FormField      Form = "field"               // image, fooImage, imageName... of any other mapping
	FormRelated    Form = "related-images"      // relatedImages[].image
	FormGroup      Form = "group"               // registry, repository, tag and digest in fields of their own
	FormEnv        Form = "env"                 // {name: *IMAGE*, value: REF}
	FormArg        Form = "arg"                 // a word of args or command
	FormScalar     Form = "scalar"              // a whole value with registry and tag, or with a digest
	FormText       Form = "text"                // a line of a text that is neither YAML nor JSON
	FormAnnotation Form = "annotation"          // an annotation of a pod template that names an image
	FormList       Form = "list"                // a line of an image list
)

// Object tells which object of the input something belongs to. The fields are as written; for a reference inside a
// ConfigMap it is the ConfigMap. Everything is empty for image lists and documents without a kind.
type Object struct {
	APIVersion string `json:"apiVersion,omitempty"`
	Kind       string `json:"kind,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	Name       string `json:"name,omitempty"`
}

// String gives kind/name, with the namespace where there is one: "DaemonSet/kube-system/calico-node".
func (o Object) String() string {
	switch {
	case o.Kind == "":
		return ""
	case o.Namespace == "":
		return o.Kind + "/" + o.Name
	default:
		return o.Kind + "/" + o.Namespace + "/" + o.Name
	}
}

// Position is a place in an input. Line and Column count from 1, Column in bytes. In an UTF-16 input the column is that
// of the text as UTF-8.
type Position struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// Reference is one image reference at one place.
type Reference struct {
	// Name is the normalised reference: "docker.io/library/busybox:latest" for "busybox". Tag and digest are both
	// kept when both are written.
	Name string `json:"name"`
	// Text is the reference as written. For FormGroup it is put together from the fields.
	Text  string `json:"text"`
	Class Class  `json:"class"`
	Form  Form   `json:"form"`
	// Position is that of the reference's first byte, also inside embedded text. Where the text is written with
	// escapes or folded in a way that leaves no such byte, it is the position of the value that holds it.
	Position
	Object Object `json:"object"`
	// Field is the path from the object's root: spec.template.spec.containers[0].image. A path that goes on inside
	// of a text value is joined by " > ".
	Field string `json:"field,omitempty"`
	// Container is the name of the container that holds the reference, if any.
	Container string `json:"container,omitempty"`
	// PullPolicy is the imagePullPolicy beside the reference, as written; empty when there is none.
	PullPolicy string `json:"pullPolicy,omitempty"`
	// PullSecrets are the image pull secrets of the pod as namespace/name: its own, or, as the API server does it
	// for a pod without, those of its service account. The namespace is "default" where none is written.
	PullSecrets []string `json:"pullSecrets,omitempty"`
	// OS is "windows" for the images of pods that only run on Windows nodes, else empty.
	OS string `json:"os,omitempty"`
	// ClusterInternal is set for registries that only exist inside of a cluster (*.svc and *.svc.*).
	ClusterInternal bool `json:"clusterInternal,omitempty"`
}
