// Package registrytest runs a registry on the loopback interface that imitates Docker Hub
// and fails in the ways that real registries do. Tests of the puller and of the commands
// talk to it over HTTP, and so does the demo program, which is why [New] does not need
// package testing; [Start] is its counterpart for tests.
//
//	reg, err := registrytest.New(registrytest.Options{Policy: registrytest.Policy{Auth: registrytest.AuthBearer, AnonymousQuota: 100}})
//	if err != nil { ... }
//	defer reg.Close()
//	set, err := reg.AddCalico(registrytest.CalicoOptions{})
//	reg.SetFaults(func(f *registrytest.Faults) { f.Cut = registrytest.Interrupt{After: 3000, Times: 1} })
//	... pull reg.Ref("calico/cni", "v3.28.0") ...
//	fmt.Println(reg.Counts().Counted)
//
// # Structure
//
// [Policy] is what the registry requires of its clients and how it serves them: logins,
// pull quotas, redirects to a second host. [Faults] is how it fails; the zero value has no
// faults. Both are plain structs that may be changed at any time with [Registry.SetPolicy]
// and [Registry.SetFaults]; a change also affects responses in progress. The content is
// made from [Image], [Index] and [Layer] values; equal values always have the same digests.
// [Registry.Log] and [Registry.Counts] report the requests.
//
// Storage, pushes, tag lists and referrers are those of go-containerregistry's
// pkg/registry; this package serves manifests and blobs itself.
//
// # Specifications
//
// OCI distribution-spec 1.1 for paths and errors, RFC 9110 for ranges and Retry-After,
// Docker's token specification (distribution, "Token Authentication" and "OAuth2") for
// logins, Docker Hub's documentation of pull limits for the quota.
//
// All methods of [Registry] are safe for concurrent use.
package registrytest
