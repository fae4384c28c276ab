package scan

import (
	"slices"
	"strings"
)

// Code identifies a kind of warning. The values are stable.
type Code string

// The codes and their meanings.
const (
	// CodePullPolicyAlways: imagePullPolicy Always makes the kubelet ask the registry even
	// for an image on the node.
	CodePullPolicyAlways Code = "pull-policy-always"
	// CodeDefaultAlways: no policy is written, and the default without a tag or with
	// :latest is Always.
	CodeDefaultAlways Code = "default-pull-always"
	// CodeMutableTag: no tag or :latest, so that the same manifest may mean another image
	// tomorrow.
	CodeMutableTag Code = "mutable-tag"
	// CodeAlwaysPullImages: an API server is started with the admission plugin of that
	// name.
	CodeAlwaysPullImages Code = "always-pull-images"
	// CodePlaceholder: a template or a person has to fill in the image first.
	CodePlaceholder Code = "placeholder"
	// CodeInvalid: an image field of a pod spec does not hold an image reference.
	CodeInvalid Code = "invalid-reference"
	// CodeUnclear: possibly an image, but nothing distinguishes it from an ordinary word.
	// Not counted.
	CodeUnclear Code = "unclear-reference"
	// CodeDuplicateKey: a key is written twice in one mapping; the last one counts.
	CodeDuplicateKey Code = "duplicate-key"
	// CodeOperands: an operator starts images that the manifest does not name.
	CodeOperands Code = "operands-unwritten"
	// CodeClusterInternal: the registry only exists inside the cluster.
	CodeClusterInternal Code = "cluster-internal-registry"
	// CodeLocalRegistry: the registry is this machine, or has a name without a domain.
	CodeLocalRegistry Code = "local-registry"
	// CodeWindows: the image is for Windows nodes.
	CodeWindows Code = "windows-image"
	// CodeUnknownDigest: a running pod or a node has an image under a tag, and which digest
	// the tag has at a registry is not known.
	CodeUnknownDigest Code = "unknown-digest"
	// CodeUnnamed: a node has an image without a name that a registry knows. Not counted.
	CodeUnnamed Code = "unnamed-image"
	// CodeChartList: a chart renders an image that it does not list, or lists one that it does
	// not render, which the caller of the scanner compared.
	CodeChartList Code = "chart-list"
	// CodeSkippedFile: a file was not read, which the caller of the scanner decided.
	CodeSkippedFile Code = "skipped-file"
)

// A CodeText describes the warnings of a code to people. Both texts are one line without a
// full stop.
type CodeText struct {
	Code    Code
	Meaning string // what the manifest says, and what follows from it
	Action  string // what to do about it
}

// codeTexts are the rows of the table in docs/scan.md, without its markup.
var codeTexts = []CodeText{
	{CodePullPolicyAlways, "the kubelet asks the registry even for an image on the node", "change it to IfNotPresent"},
	{CodeDefaultAlways, "no policy is set, and without a tag or with :latest the default is Always", "set a policy, a version or a digest"},
	{CodeMutableTag, "no tag or :latest, which may change with every release", "name a version or a digest"},
	{CodeAlwaysPullImages, "an API server runs the admission plugin AlwaysPullImages", "disable it where nodes cannot reach a registry"},
	{CodePlaceholder, "{{ ... }}, ${X}, <...>, [X], @X@, auto, :v1-VERSION, :TODO and the like must be filled in", "render, then scan the result"},
	{CodeInvalid, "the image of a container or an image volume is not a valid reference, or is empty", "correct it"},
	{CodeUnclear, "possibly an image, or a resource that speaks of images and names none; not included", "include it, or ignore the warning"},
	{CodeOperands, "an operator, chart or remote source uses images that the manifest does not name", "follow the advice, add the names"},
	{CodeClusterInternal, "the registry is a service of the cluster (*.svc)", "make sure that the cluster has the image"},
	{CodeLocalRegistry, "the registry is localhost or has a name without a domain", "make sure that it can be reached"},
	{CodeUnknownDigest, "a pod or a node has an image for which it states no digest that a registry knows, or pods run several under one tag", "write a digest, or accept what the registry has under the tag today"},
	{CodeUnnamed, "a node has an image without a name; not included", "name it, or ignore the warning"},
	{CodeChartList, "the images that a chart lists and those that it renders with these values differ", "check the values, and the list of the chart"},
	{CodeSkippedFile, "a file of a directory is a pipe, a device or a symbolic link out of the directory; it was not read", "name it with -f if it is meant"},
	{CodeWindows, "the pod runs on Windows nodes only", "a bundle for Linux does not need it"},
	{CodeDuplicateKey, "a mapping holds a key twice and only the last counts; often a --- is missing", "separate the documents"},
}

// Codes returns the codes with their descriptions, in a fixed order.
func Codes() []CodeText { return slices.Clone(codeTexts) }

// Warning is something a user should know before relying on the images found.
type Warning struct {
	Code Code `json:"code"`
	// Message says what is wrong, in one line without a full stop.
	Message string `json:"message"`
	// Advice says what to do about it, in the same form.
	Advice string `json:"hint,omitempty"`
	Position
	Object    Object `json:"object"`
	Field     string `json:"field,omitempty"`
	Container string `json:"container,omitempty"`
	// Class is what the image would be, for a placeholder and a reference that is invalid or
	// unclear: if it is required, a pod does not start until the value is fixed.
	Class Class `json:"class,omitempty"`
	// Name is the normalised image that the warning is about, or "".
	Name string `json:"image,omitempty"`
}

// warning returns the warning that a candidate is, without its place and class.
func (c candidate) warning() Warning {
	switch c.verdict {
	case placeholder:
		return Warning{
			Code:    CodePlaceholder,
			Message: quote(c.text) + " is a placeholder, not an image",
			Advice:  "render the template and scan the result, or add the image by hand",
		}
	case untagged:
		n, _ := parseName(c.text)
		return Warning{
			Code: CodeUnclear, Name: n.full,
			Message: "the image " + quote(c.text) + " has neither tag nor digest; its consumer chooses one",
			Advice:  "find out which one, and add the image by hand",
		}
	case malformed:
		return Warning{
			Code:    CodeUnclear,
			Message: "the fields of an image do not form a reference: " + quote(c.text),
			Advice:  "add the image by hand",
		}
	case unnamed:
		return Warning{
			Code:    CodeUnnamed,
			Message: "the node has the image " + quote(c.text) + " without a name that a registry knows; it is not counted",
			Advice:  "if pods need it, add its name by hand",
		}
	case alwaysPull:
		return Warning{
			Code:    CodeAlwaysPullImages,
			Message: "the admission plugin AlwaysPullImages makes the kubelet ask the registry for every pod",
			Advice:  "do not enable it in clusters whose nodes cannot reach the registries",
		}
	}
	message := quote(c.text) + " is not an image reference"
	switch {
	case c.verdict == notText:
		message = "the image is a mapping or a list"
	case c.text == "":
		message = "the image is empty"
	}
	return Warning{
		Code: CodeInvalid, Message: message,
		Advice: "write registry/repository:tag in lower case, or add the image by hand if another program fills it in",
	}
}

// warnings returns what a user should know about a reference, n being its name.
func (f *found) warnings(n name) []Warning {
	var out []Warning
	add := func(code Code, message, advice string) {
		out = append(out, Warning{Code: code, Message: message, Advice: advice})
	}
	if n.digest == "" && (n.tag == "" || n.tag == "latest") {
		what := " has no tag and"
		if n.tag != "" {
			what = ""
		}
		add(CodeMutableTag, f.Text+what+" may change with every release", "write a version or a digest")
		if f.PullPolicy == "" && f.ofContainer() {
			add(CodeDefaultAlways,
				"without imagePullPolicy, the kubelet asks the registry at every start for an image without a tag or with :latest",
				"write imagePullPolicy: IfNotPresent beside "+f.Text+", or write a version or a digest")
		}
	}
	switch {
	case f.ClusterInternal:
		add(CodeClusterInternal,
			"the registry "+n.domain+" is a service of the cluster and cannot be reached from outside",
			"push the image to that registry before you apply the manifest")
	case localRegistry(n.domain):
		add(CodeLocalRegistry,
			"the registry "+n.domain+" is a different one on every machine",
			"make sure that the machine that pulls can reach it")
	}
	if f.OS == "windows" {
		add(CodeWindows, "the image "+f.Text+" is for Windows nodes", "a bundle for Linux nodes does not need it")
	}
	return out
}

// quote returns a value of a manifest for a message: on one line, and at most 100 bytes.
func quote(v string) string {
	v = strings.Join(strings.Fields(v), " ")
	if len(v) > 100 {
		v = strings.ToValidUTF8(v[:97], "") + "..."
	}
	return `"` + v + `"`
}
