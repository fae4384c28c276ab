// Package archive is the bundle: one tarball that holds container images as an OCI image
// layout. It plans the file, reads it, verifies it and compares two of them; package
// writer below it writes it. It contacts no registry and no container runtime.
//
// # The file
//
// The entries, in this order:
//
//	oci-layout          {"imageLayoutVersion":"1.0.0"}
//	index.json          one descriptor for each name; its digest is the identity of the bundle
//	manifest.json       the same images as "docker save" lists them; absent if it would be empty
//	blobs/              directory
//	blobs/sha256/       directory
//	blobs/sha256/<hex>  manifests and indexes, then configs, then layers
//
// Blobs come in the order of their first use: images by rank (see [PlanOptions]) and by
// name, bytewise, as index.json lists them; a parent before its children, children as their
// index lists them. Each header is USTAR (PAX only where
// USTAR cannot hold the size, above 8 GiB), mode 0644 or 0755, owner 0:0 without names,
// time 0. Two zero blocks end the file and nothing follows. So the same images at the same
// digests are the same bytes: on any machine, in any order of writing, with any number of
// workers, at once or after a resume, in a file or a pipe.
//
// An image index is kept byte for byte, so that a reference by its digest still works,
// while only the manifests of the chosen platforms are there (a sparse index, image-spec
// v1.1 image-layout.md).
//
// # Annotations
//
// These annotations of index.json are specific to bundles:
//
//	dev.stowage.bundle.contents  digest of the list of all files ("name sha256:… size\n" each),
//	                             computed with "sha256:" and 64 zeros in its place
//	dev.stowage.bundle.base      differential bundle: identity of the bundle it builds on
//	dev.stowage.bundle.omitted   differential bundle: layers it does not hold ("sha256:… size", one a line)
//	dev.stowage.bundle.skipped   names that were requested and could not be included, as JSON
//	                             (read under its former name dev.stowage.bundle.left-out, too)
//
// The contents make the identity cover the choice of platforms, which a sparse index alone
// does not. They show a lost entry or an altered name without reading any layer.
//
// Signatures, attestations and SBOMs have no name in index.json, so that no reader takes
// them for images. A manifest with a subject needs nothing more. One that only a tag ties to
// its image, as cosign before version 3 stores signatures, has that tag in an annotation of
// its descriptor:
//
//	dev.stowage.bundle.tag       "docker.io/library/busybox:sha256-<hex>.sig"
//
// A named artifact, without a root file system, that a pod needs as an image volume has an
// annotation as well, so that a node can say that the pod will not start:
//
//	dev.stowage.bundle.artifact  "image-volume"
//
// # Writing
//
// All sizes are known from the manifests and indexes, so [NewPlan] fixes the place of every
// byte before the first blob arrives. Package writer writes a plan to a file or a pipe.
//
// The file may be compressed with gzip or zstd. The bundle inside stays the same: the
// identity is that of the plain tarball.
//
// # Reading
//
// [Open] opens a file or directory, [NewReader] a tarball that is already open, and
// [OpenStream] reads one as it arrives. Each reads the headers and manifests and checks
// everything but the bytes of the layers; [Reader.Verify] checks those as well. All accept
// OCI image layouts of other programs.
//
// A bundle is untrusted input until all checks have passed: see the limits and
// [ErrDamaged].
//
// Specifications: OCI image-spec v1.1.1 (image-layout.md, image-index.md, manifest.md,
// descriptor.md); POSIX.1-1988 ustar; moby image/spec (docker save's manifest.json);
// RFC 1952 (gzip), RFC 8878 (zstd).
package archive
