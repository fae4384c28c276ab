// Package layer unpacks the layers of images.
//
// [Apply] is one pipeline: it decodes a blob (gzip, zstd or plain tar), hashes the tar
// stream, whose digest is the layer's diffID, and writes its files into a directory, or
// only reads it to its end when there is no directory. Limits on the unpacked size stop a
// layer that was made to fill disks.
//
//	res, err := layer.Apply(ctx, blob, &layer.Target{Dir: dir, Overlay: true}, layer.Options{Budget: budget})
//	if err == nil && res.DiffID != want {
//		...
//	}
//
// The package knows nothing of containerd's services: the caller opens blobs, prepares
// directories and compares digests. Layer format: layer.md of image-spec v1.1.1.
package layer
