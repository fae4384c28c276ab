// Package extract writes the entries of a tar stream into a directory.
//
//	err := extract.Layer(ctx, source, &extract.Target{Dir: dir, Overlay: true}, check)
//
// Layer format: layer.md of image-spec v1.1.1.
package extract
