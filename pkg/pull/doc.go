// Package pull fetches images from registries: names in, manifests and blobs out.
//
// It handles registries, accounts, mirrors, rate limits and unreliable networks; it does
// not write tar files. A caller resolves names first and fetches blobs afterwards:
//
//	c, err := pull.New(pull.Options{Platforms: []ocispec.Platform{{OS: "linux", Architecture: "amd64"}}})
//	resolved, failures, err := c.Resolve(ctx, []pull.Query{{Name: "docker.io/library/busybox:latest"}})
//	err = c.FetchAll(ctx, blobs, open) // blobs of the manifests that c resolved
//
// The order of requests follows what Docker Hub counts: a tag is resolved by HEAD, which
// is free; a manifest is fetched by digest, and only when no local copy has it; blobs and
// tokens are free. See https://docs.docker.com/docker-hub/usage/pulls/.
//
// When a pull limit is used up, the client makes no further counted requests to that
// registry with that account, and everything else continues; with [Options.Wait] it waits
// until the limit is renewed. A limit on the rate of requests slows the client down. After
// a connection that broke, stalled or sent wrong bytes, only the missing bytes are fetched
// again.
//
// The protocol is that of the OCI distribution specification 1.1; authentication is
// Docker's token scheme as go-containerregistry implements it.
package pull
