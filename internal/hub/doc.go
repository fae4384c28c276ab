// Package hub is a Docker Hub in a process: a registry on the loopback interface that
// can be told to hurt in every way a real one does. Tests of the puller and of the
// commands talk to it over real HTTP, and so does the demo program; nothing here needs
// package testing (see hubtest for the helper that does).
//
//	h, err := hub.Start(hub.Options{Policy: hub.Policy{Auth: hub.AuthBearer, AnonymousQuota: 100}})
//	if err != nil { ... }
//	defer h.Close()
//	set, err := h.AddCalico(hub.CalicoOptions{})
//	h.Set(func(f *hub.Faults) { f.Cut = hub.Strike{After: 3000, Times: 1} })
//	... pull h.Ref("calico/cni", "v3.28.0") ...
//	fmt.Println(h.Counts().Counted)
//
// # Parts
//
// [Policy] says what the hub asks of its clients: logins, pull quotas, redirects to a
// second host. [Faults] says how it hurts; its zero value hurts nobody. Both are plain
// structs that may be changed at any moment with [Hub.SetPolicy] and [Hub.Set]; a change
// also reaches answers that are already under way. The content is made from [Image],
// [Index] and [Layer] values, the same ones always giving the same digests. What was
// asked is found in [Hub.Log] and [Hub.Counts].
//
// Storage, pushes, tag lists and referrers are those of go-containerregistry's
// pkg/registry; manifests and blobs are read out by the hub itself.
//
// # Specifications
//
// OCI distribution-spec 1.1 for the paths and errors, RFC 9110 for ranges and
// Retry-After, Docker's token specification (distribution, "Token Authentication" and
// "OAuth2") for logins, Docker Hub's documentation of pull limits for the quota.
//
// All methods of [Hub] may be used from many goroutines at once.
package hub
