// Package inflate reads gzip files (RFC 1952, version 4.3) with DEFLATE data (RFC 1951,
// version 1.3) about twice as fast as compress/gzip and klauspost/compress do. Decoding is
// most of the time of a load.
//
//	r, err := inflate.NewReader(blob)
//	if err != nil {
//		return err
//	}
//	defer r.Close()
//	for err == nil {
//		var part []byte
//		part, err = r.Next(buffer)
//		...
//	}
//
// It accepts the same files as compress/gzip and returns the same bytes, as tests and a fuzz
// target check. It is fast because of:
//
//   - A bit buffer of 64 bits in a register, which is refilled without a branch (bits.go).
//     The input is buffered, so reading stops at an arbitrary byte of the source.
//   - Tables of 2048 entries: one lookup decodes a literal, or the base and the number of
//     extra bits of a length (tables.go).
//   - An inner loop (fast.go) without bounds checks, which runs only while one iteration
//     cannot leave its buffers. A careful one (careful.go) decodes at the edges.
//   - Output in a buffer of the caller, which can pass it on without a copy (window.go). Only
//     the last 32 KiB are copied, to the front of the next buffer. Matches are copied in
//     steps of 16 and 8 bytes.
//
// The code is plain Go without package unsafe, because it runs as root on hostile input.
// Indexes are masked to the size of their arrays where that lets the compiler drop the bounds
// check; a bug would produce wrong bytes, which the digest detects, and not touch other
// memory.
package inflate
