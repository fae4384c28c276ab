package writer

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/need"
	"stowage/pkg/archive"
	"stowage/pkg/archive/internal/archivetest"
)

// fleet keeps the manifests of n images in a file: each an index of eight platforms of
// which one is chosen, with a config and eight layers, four of them its own. Nothing of it
// is held here.
func fleet(t testing.TB, d *File, n int) []archive.Image {
	t.Helper()
	add := func(s *store) {
		for _, raw := range s.Blobs {
			if _, err := d.AddMetadata(raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	images := make([]archive.Image, 0, n)
	for i := range n {
		s := newStore()
		var layers []ocispec.Descriptor
		for k := range 8 {
			seed := i*4 + k
			if k >= 4 {
				seed = -(i/50*4 + k) // a base that fifty images share
			}
			layers = append(layers, ocispec.Descriptor{
				MediaType: ocispec.MediaTypeImageLayerGzip, Digest: digest.FromString(fmt.Sprint("layer", seed)), Size: int64(1000 + k),
			})
		}
		chosen := s.Manifest(amd64, layers...)
		config := s.Config(chosen)
		delete(s.Blobs, config)
		children := []ocispec.Descriptor{chosen}
		for k := range 7 {
			children = append(children, ocispec.Descriptor{
				MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint("other", i, k)), Size: 2000,
				Platform:    &ocispec.Platform{OS: "linux", Architecture: fmt.Sprint("arch", k)},
				Annotations: map[string]string{"org.opencontainers.image.version": fmt.Sprint("a longer text as real indexes have it ", i, k)},
			})
		}
		target := s.Index(children...)
		add(s)
		images = append(images, archive.Image{
			Name: fmt.Sprintf("registry.example.org/team/application-%04d:v1.2.3", i), Target: target, Present: []ocispec.Descriptor{chosen},
		})
	}
	return images
}

// TestPlanMemory: two thousand images, planned and begun, cost less than 15 MiB of live heap.
func TestPlanMemory(t *testing.T) {
	if testing.Short() || need.Race {
		t.Skip("plans two thousand images, and measures the heap")
	}
	const images, most = 2000, 15 << 20
	d, err := Open(filepath.Join(t.TempDir(), "x.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	list := fleet(t, d, images)
	before := archivetest.Heap()
	docs := &peakMetadata{d: d, every: 500}
	p, err := archive.NewPlan(list, docs, archive.PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	after := archivetest.Heap()
	if err := d.Start(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	begun := archivetest.Heap()
	missing := d.Missing()
	asked := archivetest.Heap()
	peak := max(docs.peak, after, begun, asked)
	t.Logf("%d images, %d blobs, index.json %d bytes: plan %.1f MiB, begun %.1f MiB, with Missing %.1f MiB, peak while planning %.1f MiB",
		images, len(p.Blobs()), len(p.Index()), archivetest.MiB(after-before), archivetest.MiB(begun-before), archivetest.MiB(asked-before), archivetest.MiB(peak-before))
	if peak-before > most {
		t.Errorf("%.1f MiB, want at most %.1f", archivetest.MiB(peak-before), archivetest.MiB(most))
	}
	runtime.KeepAlive(missing)
	runtime.KeepAlive(list)
}

// peakMetadata measures the live heap now and then while a plan is made.
type peakMetadata struct {
	d     *File
	n     int
	every int
	peak  uint64
}

func (p *peakMetadata) Metadata(d digest.Digest) ([]byte, error) {
	if p.n++; p.n%p.every == 0 {
		p.peak = max(p.peak, archivetest.Heap())
	}
	return p.d.Metadata(d)
}

// TestBlobMemory: a blob of any size passes through without being held.
func TestBlobMemory(t *testing.T) {
	const most = 4 << 20
	s, dg := big(64 << 20)
	d := s.start(t, filepath.Join(t.TempDir(), "x.tar"))
	before := archivetest.Heap()
	w, err := d.Blob(dg)
	if err != nil {
		t.Fatal(err)
	}
	raw := s.Blobs[dg]
	peak := before
	for off := 0; off < len(raw); off += 100_000 {
		if _, err := w.WriteAt(raw[off:min(off+100_000, len(raw))], int64(off)); err != nil {
			t.Fatal(err)
		}
		if off%(16<<20) < 100_000 {
			peak = max(peak, archivetest.Heap())
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if peak-before > most {
		t.Errorf("%.1f MiB, want at most %.1f", archivetest.MiB(peak-before), archivetest.MiB(most))
	}
}

// TestCompressionMemory: packing and unpacking take what the window takes, whatever the size.
func TestCompressionMemory(t *testing.T) {
	if need.Race {
		t.Skip("measures the heap")
	}
	const most = 20 << 20
	s, _ := big(48 << 20)
	for _, c := range []archive.Compression{archive.Gzip, archive.Zstd} {
		path := filepath.Join(t.TempDir(), "x.tar."+c.String())
		d := s.start(t, path)
		if err := s.fill(d, 1, 1<<20); err != nil {
			t.Fatal(err)
		}
		before := archivetest.Heap()
		peak := before
		var n int64
		if err := d.CommitAs(t.Context(), c, func(m int64) {
			if n += m; n%(8<<20) < m {
				peak = max(peak, archivetest.Heap())
			}
		}); err != nil {
			t.Fatal(err)
		}
		packing := peak - before
		before = archivetest.Heap()
		peak, n = before, 0
		r, err := archive.Open(t.Context(), path, &archive.OpenOptions{OnBytes: func(m int64) {
			if n += m; n%(8<<20) < m {
				peak = max(peak, archivetest.Heap())
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		t.Logf("%s: packing %.1f MiB, unpacking %.1f MiB", c, archivetest.MiB(packing), archivetest.MiB(peak-before))
		if packing > most || peak-before > most {
			t.Errorf("%s: packing %.1f MiB, unpacking %.1f MiB, want at most %.1f", c, archivetest.MiB(packing), archivetest.MiB(peak-before), archivetest.MiB(most))
		}
	}
}
