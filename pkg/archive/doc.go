// Package archive is the bundle: one tarball that holds container images
// as an OCI image layout. It plans the file, writes it in parallel and resumes
// it, reads it, verifies it and compares two of them. It speaks to no registry
// and to no container runtime.
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
// All sizes are known from the documents (manifests and indexes), so [NewPlan]
// fixes the place of every byte before the first blob arrives. A [Draft] then lets
// any number of goroutines write blobs straight to their places, each byte once, and
// survives a kill at any moment; a [Stream] gives the same bytes to a pipe.
//
// [Draft.CommitAs] packs the finished file with gzip or zstd for those who want that. It
// saves little where layers are compressed already, costs both sides a pass over all bytes,
// and the bundle inside stays the same: the plain tarball is what has an identity.
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
