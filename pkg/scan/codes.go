package scan

import "slices"

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
	{CodeSkippedFile, "a file of a directory is a pipe, a device or a symbolic link out of the directory; it was not read", "name it with -f if it is meant"},
	{CodeWindows, "the pod runs on Windows nodes only", "a bundle for Linux does not need it"},
	{CodeDuplicateKey, "a mapping holds a key twice and only the last counts; often a --- is missing", "separate the documents"},
}

// Codes returns the codes with their descriptions, in a fixed order.
func Codes() []CodeText { return slices.Clone(codeTexts) }
