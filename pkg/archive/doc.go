// Package archive is the bundle: one tarball that holds container images
// as an OCI image layout. It plans the file, reads it, verifies it and compares two of
// them; package writer below it writes it. It contacts no registry and no container
// runtime.
//
// # The file
//
// The entries, in this order:
//
//	oci-layout          {"imageLayoutVersion":"1.0.0"}
//	index.json          one descriptor a name; its digest is the identity of the bundle
//	manifest.json       the same images as "docker save" lists them; left out when it would be empty
//	blobs/              directory
//	blobs/sha256/       directory
//	blobs/sha256/<hex>  manifests and indexes, then configs, then layers
//
// Blobs stand in the order of their first use: images by name, bytewise; a parent
// before its children, children as their index lists them. Each header is USTAR
// (PAX only where USTAR cannot hold the size, above 8 GiB), mode 0644 or 0755,
// owner 0:0 without names, time 0. Two zero blocks end the file and nothing follows.
// So the same images at the same digests are the same bytes, whoever writes them,
// in whatever order, with any number of workers, at once or after a resume, to a
// file or to a pipe.
//
// An image index is kept byte for byte, so that a reference by its digest goes on
// working, while only the chosen platforms' manifests are there (a sparse index,
// image-spec v1.1 image-layout.md). Four annotations of index.json are ours:
//
//	dev.stowage.bundle.contents  digest of the list of all files ("name sha256:… size\n" each),
//	                             made while "sha256:" and 64 zeros stand in its place
//	dev.stowage.bundle.base      differential bundle: identity of the bundle it builds on
//	dev.stowage.bundle.omitted   differential bundle: layers it does not hold ("sha256:… size", one a line)
//	dev.stowage.bundle.skipped   names that were requested and could not be included, as JSON
//	                             (read under its former name dev.stowage.bundle.left-out, too)
//
// Signatures, attestations and SBOMs stand there without a name, so that nobody takes them
// for images. One that says itself what it is about, by its subject, needs no more; what
// only a tag ties to its image, as cosign before version 3 keeps signatures, has that tag:
//
//	dev.stowage.bundle.tag       "docker.io/library/busybox:sha256-<hex>.sig"
//
// The first makes the identity cover the choice of platforms, which a sparse index
// alone does not, and shows a lost entry or an altered name without reading any layer.
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
// [Open] walks over the headers only and checks everything but the layers' bytes;
// [Reader.Verify] checks those as well. A compressed file has no places to seek to, so
// Open unpacks it into a temporary file; [OpenHead] does without for all that needs no
// layers. A folder that is an OCI image layout reads like a tarball of one. A bundle comes from outside and is hostile
// until proven otherwise: see the limits, and [ErrDamaged].
//
// Specifications: OCI image-spec v1.1.1 (image-layout.md, image-index.md, manifest.md,
// descriptor.md); POSIX.1-1988 ustar; moby image/spec (docker save's manifest.json);
// RFC 1952 (gzip), RFC 8878 (zstd).
package archive
