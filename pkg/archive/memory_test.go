package archive

import (
	"fmt"
	"runtime"
	"testing"

	"stowage/internal/need"
	"stowage/pkg/archive/internal/archivetest"
)

// TestMetadataMemory: the metadata of two thousand images costs about what opening them costs.
func TestMetadataMemory(t *testing.T) {
	if testing.Short() || need.Race {
		t.Skip("writes two thousand images, and measures the heap")
	}
	const images, most = 2000, 24 << 20
	s := newStore()
	for i := range images {
		m := s.Manifest(amd64, s.Layer(uint64(i), 100), s.Layer(uint64(i/50), 200))
		s.name(fmt.Sprintf("a.test/a:%d", i), s.Index(m), m)
	}
	path := s.bundleAs(t, Zstd, PlanOptions{})
	before := archivetest.Heap()
	r, err := openMetadata(path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	held := archivetest.Heap()
	t.Logf("%d images: %.1f MiB held", images, archivetest.MiB(held-before))
	if held-before > most {
		t.Errorf("%.1f MiB, want at most %.1f", archivetest.MiB(held-before), archivetest.MiB(most))
	}
	runtime.KeepAlive(s)
}
