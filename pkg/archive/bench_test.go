package archive

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"

	"stowage/internal/iox"
)

// BenchmarkDraft writes a bundle with one layer of 64 MiB, hashing and syncing included.
func BenchmarkDraft(b *testing.B) {
	s, _ := big(64 << 20)
	path := filepath.Join(b.TempDir(), "x.tar")
	b.SetBytes(64 << 20)
	b.ReportAllocs()
	for b.Loop() {
		d := s.begin(b, path, PlanOptions{})
		if err := errors.Join(s.fill(d, 1, iox.BufferSize), d.Commit()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpen opens a bundle of 500 images.
func BenchmarkOpen(b *testing.B) {
	s := newStore()
	for i := range 500 {
		m := s.manifest(amd64, s.layer(uint64(i), 1000), s.layer(uint64(i/10), 2000))
		s.name("a.test/a:"+m.Digest.Encoded()[:12], s.index(m), m)
	}
	raw := s.bundle(b, PlanOptions{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewReader(bytes.NewReader(raw), int64(len(raw))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompress packs a bundle with one layer of 64 MiB that is compressed already.
func BenchmarkCompress(b *testing.B) {
	for _, c := range []Compression{Gzip, Zstd} {
		b.Run(c.String(), func(b *testing.B) {
			s, _ := big(64 << 20)
			path := filepath.Join(b.TempDir(), "x.tar")
			d := s.begin(b, path, PlanOptions{})
			if err := s.fill(d, 1, iox.BufferSize); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(64 << 20)
			b.ReportAllocs()
			for b.Loop() {
				if err := d.pack(context.Background(), c, path+packedSuffix, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpenCompressed unpacks it, and reads its documents alone.
func BenchmarkOpenCompressed(b *testing.B) {
	s, _ := big(64 << 20)
	for _, c := range []Compression{Gzip, Zstd} {
		path := s.bundleAs(b, c, PlanOptions{})
		for name, open := range map[string]func(string) (*Reader, error){"whole": Open, "head": OpenHead} {
			b.Run(c.String()+" "+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r, err := open(path)
					if err != nil {
						b.Fatal(err)
					}
					r.Close()
				}
			})
		}
	}
}
