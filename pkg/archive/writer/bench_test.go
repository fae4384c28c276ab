package writer

import (
	"errors"
	"path/filepath"
	"testing"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// BenchmarkFile writes a bundle with one layer of 64 MiB, hashing and syncing included.
func BenchmarkFile(b *testing.B) {
	s, _ := big(64 << 20)
	path := filepath.Join(b.TempDir(), "x.tar")
	b.SetBytes(64 << 20)
	b.ReportAllocs()
	for b.Loop() {
		d := s.start(b, path)
		if err := errors.Join(s.fill(d, 1, iox.BufferSize), d.Commit()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompress packs a bundle with one layer of 64 MiB that is compressed already.
func BenchmarkCompress(b *testing.B) {
	for _, c := range []archive.Compression{archive.Gzip, archive.Zstd} {
		b.Run(c.String(), func(b *testing.B) {
			s, _ := big(64 << 20)
			path := filepath.Join(b.TempDir(), "x.tar")
			d := s.start(b, path)
			if err := s.fill(d, 1, iox.BufferSize); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(64 << 20)
			b.ReportAllocs()
			for b.Loop() {
				if err := d.compress(b.Context(), c, path+compressedSuffix, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
