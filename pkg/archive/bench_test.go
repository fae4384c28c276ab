package archive

import (
	"bytes"
	"testing"
)

// BenchmarkOpen opens a bundle of 500 images.
func BenchmarkOpen(b *testing.B) {
	s := newStore()
	for i := range 500 {
		m := s.Manifest(amd64, s.Layer(uint64(i), 1000), s.Layer(uint64(i/10), 2000))
		s.name("a.test/a:"+m.Digest.Encoded()[:12], s.Index(m), m)
	}
	raw := s.bundle(b, PlanOptions{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewReader(bytes.NewReader(raw), int64(len(raw))); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenCompressed unpacks it, and reads its manifests alone.
func BenchmarkOpenCompressed(b *testing.B) {
	s, _ := big(64 << 20)
	for _, c := range []Compression{Gzip, Zstd} {
		path := s.bundleAs(b, c, PlanOptions{})
		for name, o := range map[string]*OpenOptions{"layers": nil, "metadata": {Metadata: true}} {
			b.Run(c.String()+" "+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r, err := Open(b.Context(), path, o)
					if err != nil {
						b.Fatal(err)
					}
					r.Close()
				}
			})
		}
	}
}
