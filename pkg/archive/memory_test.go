package archive

import (
	"fmt"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/manifest"
)

// fleet keeps the documents of n images in a draft: each an index of eight platforms of
// which one is chosen, with a config and eight layers, four of them its own. Nothing of it
// is held here.
func fleet(t testing.TB, d *Draft, n int) []Image {
	t.Helper()
	add := func(s *store) {
		for _, raw := range s.blobs {
			if _, err := d.AddDocument(raw); err != nil {
				t.Fatal(err)
			}
		}
	}
	images := make([]Image, 0, n)
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
		chosen := s.manifest(amd64, layers...)
		config := s.manifestConfig(chosen)
		delete(s.blobs, config)
		children := []ocispec.Descriptor{chosen}
		for k := range 7 {
			children = append(children, ocispec.Descriptor{
				MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint("other", i, k)), Size: 2000,
				Platform:    &ocispec.Platform{OS: "linux", Architecture: fmt.Sprint("arch", k)},
				Annotations: map[string]string{"org.opencontainers.image.version": fmt.Sprint("a longer text as real indexes have it ", i, k)},
			})
		}
		target := s.index(children...)
		add(s)
		images = append(images, Image{
			Name: fmt.Sprintf("registry.example.org/team/application-%04d:v1.2.3", i), Target: plain(target), Present: []ocispec.Descriptor{plain(chosen)},
		})
	}
	return images
}

// manifestConfig gives the config of a manifest in the store.
func (s *store) manifestConfig(m ocispec.Descriptor) digest.Digest {
	doc, err := manifest.Parse(s.blobs[m.Digest], defaultLimits.manifest())
	if err != nil {
		panic(err)
	}
	return doc.Config.Digest
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// TestPlanMemory: two thousand images, planned and begun, cost less than 15 MiB of live heap.
func TestPlanMemory(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("plans two thousand images, and measures the heap")
	}
	const images, most = 2000, 15 << 20
	d, err := OpenDraft(filepath.Join(t.TempDir(), "x.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	list := fleet(t, d, images)
	before := heap()
	docs := &peakDocuments{d: d, every: 500}
	p, err := NewPlan(list, docs, PlanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	after := heap()
	if err := d.Begin(t.Context(), p, nil); err != nil {
		t.Fatal(err)
	}
	begun := heap()
	missing := d.Missing()
	asked := heap()
	peak := max(docs.peak, after, begun, asked)
	t.Logf("%d images, %d blobs, index.json %d bytes, manifest.json %d bytes: plan %.1f MiB, begun %.1f MiB, with Missing %.1f MiB, peak while planning %.1f MiB",
		images, len(p.Blobs()), len(p.index), len(p.docker), mib(after-before), mib(begun-before), mib(asked-before), mib(peak-before))
	if peak-before > most {
		t.Errorf("%.1f MiB, want at most %.1f", mib(peak-before), mib(most))
	}
	runtime.KeepAlive(missing)
	runtime.KeepAlive(list)
}

func mib(n uint64) float64 { return float64(n) / (1 << 20) }

// peakDocuments measures the live heap now and then while a plan is made.
type peakDocuments struct {
	d     *Draft
	n     int
	every int
	peak  uint64
}

func (p *peakDocuments) Document(d digest.Digest) ([]byte, error) {
	if p.n++; p.n%p.every == 0 {
		p.peak = max(p.peak, heap())
	}
	return p.d.Document(d)
}

// TestBlobMemory: a blob of any size passes through without being held.
func TestBlobMemory(t *testing.T) {
	const most = 4 << 20
	s, dg := big(64 << 20)
	d := s.begin(t, filepath.Join(t.TempDir(), "x.tar"), PlanOptions{})
	before := heap()
	w, err := d.Blob(dg)
	if err != nil {
		t.Fatal(err)
	}
	raw := s.blobs[dg]
	peak := before
	for off := 0; off < len(raw); off += 100_000 {
		if _, err := w.WriteAt(raw[off:min(off+100_000, len(raw))], int64(off)); err != nil {
			t.Fatal(err)
		}
		if off%(16<<20) < 100_000 {
			peak = max(peak, heap())
		}
	}
	if err := w.Commit(); err != nil {
		t.Fatal(err)
	}
	if peak-before > most {
		t.Errorf("%.1f MiB, want at most %.1f", mib(peak-before), mib(most))
	}
}

// TestCompressionMemory: packing and unpacking take what the window takes, whatever the size.
func TestCompressionMemory(t *testing.T) {
	if underRace {
		t.Skip("measures the heap")
	}
	const most = 20 << 20
	s, _ := big(48 << 20)
	for _, c := range []Compression{Gzip, Zstd} {
		path := filepath.Join(t.TempDir(), "x.tar."+c.String())
		d := s.begin(t, path, PlanOptions{})
		if err := s.fill(d, 1, 1<<20); err != nil {
			t.Fatal(err)
		}
		before := heap()
		peak := before
		var n int64
		if err := d.CommitAs(t.Context(), c, func(m int64) {
			if n += m; n%(8<<20) < m {
				peak = max(peak, heap())
			}
		}); err != nil {
			t.Fatal(err)
		}
		packing := peak - before
		before = heap()
		peak, n = before, 0
		r, err := OpenContext(t.Context(), path, func(m int64) {
			if n += m; n%(8<<20) < m {
				peak = max(peak, heap())
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		t.Logf("%s: packing %.1f MiB, unpacking %.1f MiB", c, mib(packing), mib(peak-before))
		if packing > most || peak-before > most {
			t.Errorf("%s: packing %.1f MiB, unpacking %.1f MiB, want at most %.1f", c, mib(packing), mib(peak-before), mib(most))
		}
	}
}

// TestHeadMemory: the head of two thousand images costs about what opening them costs.
func TestHeadMemory(t *testing.T) {
	if testing.Short() || underRace {
		t.Skip("writes two thousand images, and measures the heap")
	}
	const images, most = 2000, 24 << 20
	s := newStore()
	for i := range images {
		m := s.manifest(amd64, s.layer(uint64(i), 100), s.layer(uint64(i/50), 200))
		s.name(fmt.Sprintf("a.test/a:%d", i), s.index(m), m)
	}
	path := s.bundleAs(t, Zstd, PlanOptions{})
	before := heap()
	r, err := OpenHead(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	held := heap()
	t.Logf("%d images: %.1f MiB held", images, mib(held-before))
	if held-before > most {
		t.Errorf("%.1f MiB, want at most %.1f", mib(held-before), mib(most))
	}
	runtime.KeepAlive(s)
}
