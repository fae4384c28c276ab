// Package registrytest is a Docker Hub in a process: a registry on the loopback interface that
// can be told to hurt in every way a real one does. Tests of the puller and of the
// commands talk to it over real HTTP, and so does the demo program; nothing here needs
// package testing (see registrytest for the helper that does).
//
//	h, err := registrytest.New(registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: 100}})
//	if err != nil { ... }
//	defer h.Close()
//	set, err := h.AddCalico(registrytest.CalicoOptions{})
//	h.Set(func(f *registrytest.Faults) { f.Cut = registrytest.Interrupt{After: 3000, Times: 1} })
//	... pull h.Ref("calico/cni", "v3.28.0") ...
//	fmt.Println(h.Counts().Counted)
//
// # Parts
//
// [Policy] says what the registry asks of its clients: logins, pull quotas, redirects to a
// second host. [Faults] says how it hurts; its zero value hurts nobody. Both are plain
// structs that may be changed at any moment with [Registry.SetPolicy] and [Registry.SetFaults]; a change
// also reaches answers that are already under way. The content is made from [Image],
// [Index] and [Layer] values, the same ones always giving the same digests. What was
// asked is found in [Registry.Log] and [Registry.Counts].
//
// Storage, pushes, tag lists and referrers are those of go-containerregistry's
// pkg/registry; manifests and blobs are read out by the registry itself.
//
// # Specifications
//
// OCI distribution-spec 1.1 for the paths and errors, RFC 9110 for ranges and
// Retry-After, Docker's token specification (distribution, "Token Authentication" and
// "OAuth2") for logins, Docker Hub's documentation of pull limits for the quota.
//
// All methods of [Registry] may be used from many goroutines at once.
package registrytest
