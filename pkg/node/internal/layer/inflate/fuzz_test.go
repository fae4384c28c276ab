package inflate

import (
	stdgzip "compress/gzip"
	"testing"
)

// maxFuzz keeps one input from unpacking to more than some MiB.
const maxFuzz = 16 << 10

// FuzzInflate holds the package to the standard library's verdict and bytes, for any
// gzip file, and for any DEFLATE data, which then needs no header to be found.
func FuzzInflate(f *testing.F) {
	for _, stream := range small(f) {
		f.Add(stream)
		f.Add(stream[10:])
	}
	for _, content := range [][]byte{words(3000), machine(3000)} {
		for _, level := range []int{stdgzip.HuffmanOnly, 1, 6} {
			f.Add(compressed(f, level, content)[10:])
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > maxFuzz {
			return
		}
		same(t, "gzip file", data)
		same(t, "deflate data", append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, data...))
	})
}
