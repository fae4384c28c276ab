// Package extract writes the entries of a tar stream into a directory.
//
//	err := extract.Layer(ctx, source, &extract.Target{Dir: dir, Overlay: true}, check)
//
// [Layer] makes the tree that containerd's pkg/archive makes, with fewer system calls: it
// opens each directory once, from the one above it and without following links, and sets only
// what creating a file does not set. At the first entry that it does not write itself (below a
// link, a device, a sparse file, an access control list, a directory that becomes a file, a
// deletion), it hands the rest of the stream to containerd's package, from that entry's header
// on. TestEqual and FuzzEqual compare both.
//
// Layer format: layer.md of image-spec v1.1.1.
package extract
