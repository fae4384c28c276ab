// Package writer writes bundles that [archive.NewPlan] has planned: to a file, in parallel
// and resumable after a kill, or to a pipe, in order. Both have the same bytes.
//
// # Files
//
// All sizes are known from the manifests, so a plan fixes the place of every byte before
// the first blob arrives. A [File] lets any number of goroutines write blobs straight to
// their places, each byte once. The journal beside the file, described in journal.go,
// lets a later run resume; what it records is hashed again before it is used.
//
//	f, err := writer.Open("calico.tar")
//	...
//	plan, err := archive.NewPlan(images, f, archive.PlanOptions{})
//	...
//	err = f.Start(ctx, plan, nil)
//	for _, missing := range f.Missing() {
//		b, err := f.Blob(missing.Digest)
//		for off, n := range b.Missing() {
//			... b.WriteAt(content[off:off+n], off)
//		}
//		err = errors.Join(b.Commit(), b.Close())
//	}
//	err = f.Commit()
//
// [File.CommitAs] compresses the finished file. It saves little where layers are
// compressed already and costs writer and reader a pass over all bytes.
//
// # Pipes
//
// A [Stream] writes the same bytes in order, with a bounded window of bytes that arrived
// ahead. It cannot be resumed.
package writer
