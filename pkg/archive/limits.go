package archive

import "stowage/internal/manifest"

// What a bundle may hold. A reader refuses more with [ErrDamaged]; [NewPlan] refuses to
// plan what a reader would refuse. Sizes are bytes.
const (
	// MaxMetadata bounds everything that is held in memory in one piece: index.json,
	// manifest.json, oci-layout, and each index, manifest and config. Registries
	// refuse manifests above 4 MiB; the rest is room for large configs and for
	// bundles of many thousand names.
	MaxMetadata = manifest.MaxSize

	// maxRead bounds the metadata of a tarball together. As much of a compressed file or a
	// stream may be in a temporary file.
	maxRead = 256 << 20

	// maxHeld bounds the memory for what is held of the metadata, by the Reader and by those
	// who count it with [Reader.Hold].
	maxHeld = 64 << 20

	// MaxEntries bounds the headers of the tarball, directories included.
	MaxEntries = 1 << 17

	// MaxNames bounds the descriptors of index.json.
	MaxNames = 1 << 14

	// MaxDescriptors bounds the layers of one manifest and the children of one index.
	MaxDescriptors = manifest.MaxDescriptors

	// MaxDepth bounds the nesting of indexes: an image that is a manifest has depth 1, one
	// that is an index of manifests 2.
	MaxDepth = 4

	// MaxLinks bounds the manifests and indexes of all images together. One that belongs to
	// several images is counted for each.
	MaxLinks = 1 << 18

	// MaxBlob bounds one blob.
	MaxBlob = manifest.MaxBlob

	// maxTail bounds the zeros after the two blocks that end a tar; tar programs
	// pad to 10 KiB.
	maxTail = 1 << 20

	// maxWindow bounds the memory for decompressing a zstd stream or small file. "zstd -19"
	// needs 8 MiB, and more only "--ultra" and "--long" do. The size of the output is bounded
	// by the free space, see [Open].
	maxWindow = 32 << 20

	// maxFileWindow is maxWindow for a file larger than smallFile: "zstd --long" and
	// "zstd --ultra -22" use as much.
	maxFileWindow = 128 << 20
	smallFile     = 16 << 20

	// maxLayerWindow is maxWindow for a layer: containerd accepts as much.
	maxLayerWindow = 128 << 20
)

// limits are the bounds in force. Tests lower them.
type limits struct {
	metadata, read, held, blob, tail, small  int64
	entries, names, descriptors, depth, link int
}

var defaultLimits = limits{
	metadata: MaxMetadata, read: maxRead, held: maxHeld, blob: MaxBlob, tail: maxTail, small: smallFile,
	entries: MaxEntries, names: MaxNames, descriptors: MaxDescriptors, depth: MaxDepth, link: MaxLinks,
}

// manifest returns the limits of one manifest or index.
func (l limits) manifest() manifest.Limits {
	return manifest.Limits{Size: l.metadata, Blob: l.blob, Descriptors: l.descriptors}
}
