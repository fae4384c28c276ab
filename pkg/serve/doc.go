// Package serve answers the pull part of the registry protocol from images that are on this
// machine already: those of a bundle, or those of a node's containerd. It writes nothing,
// contacts no network, and knows no accounts.
//
//	l, err := serve.Listen("127.0.0.1:5480")
//	...
//	h := serve.New(serve.Bundle(reader), serve.Options{})
//	err = serve.Serve(ctx, l, h) // until ctx ends
//
// # What it answers
//
// GET and HEAD of
//
//	/v2/                            200
//	/v2/<name>/manifests/<tag>      as the image of that name
//	/v2/<name>/manifests/<digest>   any manifest or index of the source
//	/v2/<name>/blobs/<digest>       any blob of the source, whole or a range of it
//	/v2/<name>/tags/list            with n and last
//	/v2/<name>/referrers/<digest>   with artifactType
//
// Other paths are 404, other methods 405. Errors have the codes of the specification.
// What is not there is 404 at once, so that a client goes on to its next host.
//
// Content is served byte for byte. An index whose other platforms are missing is served as
// it is, as clients fetch only the platform that they need. Manifests are checked against
// their digest here. Other blobs are not: every client checks them, and one that is read here
// first would be read twice.
//
// # Names
//
// containerd asks a host that stands in for a registry with "?ns=" and that registry. Without
// it <name> may begin with the registry, as in /v2/docker.io/calico/node/manifests/v3.28.0.
// Else every registry is searched, and a tag that has two images in two of them is 404: the
// wrong image would be worse than none. "library/" may be left out, as in docker's names.
//
// A digest needs no name. It identifies its content in whatever repository.
//
// Specification: OCI distribution-spec v1.1.1, section "Pull", and of "Content Discovery"
// the tags and referrers.
package serve
