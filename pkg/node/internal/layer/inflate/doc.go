// Package inflate reads gzip files (RFC 1952, version 4.3) with DEFLATE data (RFC 1951,
// version 1.3), at about twice the speed of the decoders that the module otherwise has.
// Most of the time of a load goes into this.
//
//	r, err := inflate.NewReader(blob)
//	if err != nil {
//		return err
//	}
//	defer r.Close()
//	_, err = io.Copy(w, r)
//
// It takes the same files as compress/gzip and gives the same bytes; tests and a fuzz
// target hold it to that. Where the speed comes from:
//
//   - 64 bits of input are held in a register and topped up without a branch (bits.go);
//     the input is a buffer of its own, so reading ends at no particular byte of the
//     source.
//   - One look into a table of 2048 entries decodes a literal, or the base and the number
//     of extra bits of a length (tables.go).
//   - The inner loop (fast.go) runs only where a whole turn of it cannot leave its
//     buffers, so that it need not ask; the edges are left to a careful one (careful.go).
//   - The output is a straight piece of memory, of which the last 32 KiB are moved to the
//     front when it is full (window.go). Matches are copied in steps of 16 and 8 bytes.
//
// It is plain Go without package unsafe: this code runs as root on what strangers have
// packed. Indexes are masked to the size of their arrays where the compiler then drops
// its check; a mistake would give wrong bytes, which a digest finds, and touch no other
// memory.
package inflate
