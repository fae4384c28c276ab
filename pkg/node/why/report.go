package why

// Report is the result of [Explain]. Its JSON keys and values do not change.
type Report struct {
	Node Node `json:"server"`
	// Source says where the pods are from.
	Source string `json:"source"`
	// Pods is the number of pods that were looked at.
	Pods int `json:"podCount"`
	// Waiting are the images that pods wait for, by name. Pods that wait for the same image
	// for different causes are apart.
	Waiting []Waiting `json:"waiting"`
	// Unread are sources that could not be read, each with the reason.
	Unread []string `json:"unread,omitempty"`
}

// Node describes the containerd of the node.
type Node struct {
	Address  string `json:"address"` // containerd's socket
	Version  string `json:"version"` // of containerd
	Platform string `json:"platform"`
}

// Waiting is an image with the containers that wait for it.
type Waiting struct {
	// Image is the name as the pods have it, or that of the sandbox image.
	Image string `json:"image"`
	// Pods are the containers that wait, by pod.
	Pods []Waiter `json:"pods"`
	// Causes are never empty; the most likely is the first.
	Causes []Cause `json:"causes"`
}

// Waiter is a container, or a volume, that waits for an image.
type Waiter struct {
	Namespace string `json:"namespace,omitempty"`
	Pod       string `json:"pod,omitempty"`
	Container string `json:"container,omitempty"`  // or "volume NAME"
	Policy    string `json:"pullPolicy,omitempty"` // imagePullPolicy
	Reason    string `json:"reason,omitempty"`     // of the kubelet: ImagePullBackOff
	Message   string `json:"message,omitempty"`    // of the kubelet, without credentials
}

// Cause is a likely cause with its cure.
type Cause struct {
	Kind Kind   `json:"code"`
	Text string `json:"message"` // one line
	Cure Cure   `json:"cure"`
}

// Cure is what to do about a cause, step by step.
type Cure []Step

// Step is a command, or words, or words that introduce a command. A command without words
// belongs to the step before it.
type Step struct {
	Say string   `json:"say,omitempty"`
	Run []string `json:"run,omitempty"` // arguments, not quoted
}

// Kind is the kind of a cause.
type Kind string

// The kinds of causes.
const (
	InvalidName    Kind = "invalid-name"    // the name in the pod is not an image name
	NoSandbox      Kind = "no-sandbox"      // the sandbox image is not on the node
	DiskFull       Kind = "disk-full"       // no space for the image, or the kubelet removed it to get some
	WrongPlatform  Kind = "wrong-platform"  // only for other platforms
	Artifact       Kind = "artifact"        // an OCI artifact, which containerd cannot mount
	Damaged        Kind = "incomplete"      // containerd has the name and lacks content
	PolicyAlways   Kind = "policy-always"   // there, and imagePullPolicy Always asks a registry
	Records        Kind = "pull-records"    // there, and the kubelet's pull records ask a registry
	Retry          Kind = "retry"           // there; the kubelet has not tried again yet
	WrongNamespace Kind = "wrong-namespace" // there in another namespace of containerd
	OtherName      Kind = "other-name"      // there under another name
	PullLimit      Kind = "pull-limit"      // 429: the pulls of a window are used up
	RequestRate    Kind = "request-rate"    // 429: too many requests a minute
	KubeletRate    Kind = "kubelet-rate"    // the kubelet's own registryPullQPS
	DNS            Kind = "dns"
	UnknownCA      Kind = "certificate-authority"
	CertExpired    Kind = "certificate-expired"
	CertName       Kind = "certificate-name"
	Certificate    Kind = "certificate" // refused for another reason
	PlainHTTP      Kind = "plain-http"  // the registry does not speak TLS
	Refused        Kind = "refused"     // 401 or 403
	NotFound       Kind = "not-found"   // the registry does not have it
	Unreachable    Kind = "unreachable" // no connection to the registry or its proxy
	RegistryFault  Kind = "registry-fault"
	Signature      Kind = "signature"     // the node's policy wants a signature
	Unsupported    Kind = "unsupported"   // a form of image that containerd does not read
	NeverPolicy    Kind = "policy-never"  // not there, and imagePullPolicy Never
	Pulling        Kind = "pulling"       // a pull is in progress
	Absent         Kind = "absent"        // not there, and nothing else is known
	NotExplained   Kind = "not-explained" // there, and the kubelet says something unknown
)
