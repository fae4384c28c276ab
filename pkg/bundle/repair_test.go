package bundle

import (
	"bytes"
	"os"
	"testing"

	"stowage/pkg/archive"
)

// TestRepair: a bundle that is damaged is not up to date. It is written again with the same
// bytes, and of a plain one only the damaged blobs are fetched.
func TestRepair(t *testing.T) {
	s := newSite(t)
	for name, most := range map[string]int64{"out.tar": 1, "out.tar.zst": 4, "out.tar.gz": 4} {
		t.Run(name, func(t *testing.T) {
			req := s.request(name, "app:v1", "other:v1")
			s.make(req, Options{})
			want := s.verify(name)
			damaged := bytes.Clone(want)
			at := len(damaged) / 2
			if archive.CompressionOf(name) == archive.Plain {
				b, err := archive.Open(t.Context(), s.path(name), nil)
				if err != nil {
					t.Fatal(err)
				}
				last := b.Blobs()[len(b.Blobs())-1]
				at = int(last.Offset)
				b.Close() // only read from
			}
			damaged[at] ^= 1
			if err := os.WriteFile(s.path(name), damaged, 0o644); err != nil {
				t.Fatal(err)
			}
			r := s.make(req, Options{})
			if r.UpToDate || r.Stats.ManifestGET != 0 || r.Stats.BlobGET < 1 || r.Stats.BlobGET > most {
				t.Errorf("up to date %t after %d pulls and %d blobs, want at most %d blobs", r.UpToDate, r.Stats.ManifestGET, r.Stats.BlobGET, most)
			}
			if !bytes.Equal(s.verify(name), want) {
				t.Error("the bundle differs from the first one")
			}
			if r := s.make(req, Options{}); !r.UpToDate {
				t.Error("the repaired bundle is written again")
			}
		})
	}
}
