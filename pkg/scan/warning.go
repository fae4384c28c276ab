package scan

// Code tells warnings apart. The values are stable.
type Code string

// The codes, each with what it warns of.
const (
	// CodePullPolicyAlways: imagePullPolicy Always asks the registry even for an image that is there.
	CodePullPolicyAlways Code = "pull-policy-always"
	// CodeDefaultAlways: no policy is written, and without tag or with :latest the default is Always.
	CodeDefaultAlways Code = "default-pull-always"
	// CodeMutableTag: no tag or :latest, so that the same manifest may mean another image tomorrow.
	CodeMutableTag Code = "mutable-tag"
	// CodeAlwaysPullImages: an API server is started with the admission plugin of that name.
	CodeAlwaysPullImages Code = "always-pull-images"
	// CodePlaceholder: something has to be filled in before this is an image.
	CodePlaceholder Code = "placeholder"
	// CodeInvalid: an image field of a pod spec holds what is no image reference.
	CodeInvalid Code = "invalid-reference"
	// CodeUnclear: possibly an image, but nothing tells it from an ordinary word. Not taken.
	CodeUnclear Code = "unclear-reference"
	// CodeDuplicateKey: a key is written twice in one mapping; the last one counts.
	CodeDuplicateKey Code = "duplicate-key"
	// CodeOperands: an operator whose images are not written in the manifest.
	CodeOperands Code = "operands-unwritten"
	// CodeClusterInternal: the registry only exists inside of the cluster.
	CodeClusterInternal Code = "cluster-internal-registry"
	// CodeLocalRegistry: the registry is this machine, or has a name without a domain.
	CodeLocalRegistry Code = "local-registry"
	// CodeWindows: the image is for Windows nodes.
	CodeWindows Code = "windows-image"
)

// Warning is something a user should know before relying on the images found.
type Warning struct {
	Code Code `json:"code"`
	// Message says what is there, Advice what to do about it. Both are one line without a full stop.
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"`
	Position
	Object    Object `json:"object"`
	Field     string `json:"field,omitempty"`
	Container string `json:"container,omitempty"`
	// Class is what the image would be, for CodePlaceholder, CodeInvalid and CodeUnclear: with Required, a pod does not
	// start until somebody has seen to it.
	Class Class `json:"class,omitempty"`
	// Name is the normalised image the warning is about, where there is one.
	Name string `json:"name,omitempty"`
}
