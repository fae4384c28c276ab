// Package bundle writes the images of a list of references into one bundle.
//
// It joins the packages pull, which asks the registries, and archive, which knows the
// file:
//
//	result, err := bundle.Make(ctx, bundle.Request{
//		Images:    []bundle.Image{{Name: "docker.io/calico/cni:v3.28.0", Required: true}},
//		Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}},
//		Output:    "calico.tar",
//	}, bundle.Options{})
//
// The same references at the same digests produce the same bytes, to a file or to a stream.
// A run that fails or is killed keeps what it has fetched beside the output, and the next
// [Make] of the same output resumes there. See the package archive for the format.
//
// # Missing images
//
// A required image that its registry does not have fails the run. An image that is not
// required, such as one that only an argument or a ConfigMap names, is skipped: an
// [EventSkip] reports it, [Result].Skipped lists it, and the bundle records it. Any other
// fault of an image (refused, rate limited, unreachable) always fails the run.
// [Options].Strict and [Options].KeepGoing change the first two rules.
//
// # Errors
//
// The errors of this package are [IncompleteError], [MaxPullsError], [FlatDigestError],
// [NameError] and [OutputError]. Those of pull and archive are wrapped: callers find them
// with errors.As. [IsMissing] distinguishes an image that does not exist from one whose
// registry refused or could not be reached.
package bundle
