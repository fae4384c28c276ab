//go:build linux

package node

import (
	"io"
	"os"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"stowage/pkg/archive"
)

// pack compresses a bundle file and returns the path of the result.
func pack(t testing.TB, path string, c archive.Compression) string {
	t.Helper()
	in, err := os.Open(path)
	must(t, err)
	defer in.Close()
	out, err := os.Create(path + map[archive.Compression]string{archive.Gzip: ".gz", archive.Zstd: ".zst"}[c])
	must(t, err)
	defer out.Close()
	var w io.WriteCloser = gzip.NewWriter(out)
	if c == archive.Zstd {
		w, err = zstd.NewWriter(out)
		must(t, err)
	}
	_, err = io.Copy(w, in)
	must(t, err)
	must(t, w.Close())
	return out.Name()
}
