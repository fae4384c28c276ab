package extract

import (
	"archive/tar"
	"context"
	"fmt"
	"strings"
	"testing"

	"stowage/internal/need"
)

// BenchmarkLayer writes 10,000 small files, with Layer and with containerd alone.
func BenchmarkLayer(b *testing.B) {
	need.Root(b, "layers have owners")
	var entries []entry
	for i := range 10000 {
		dir := fmt.Sprintf("usr/%d", i/20)
		if i%20 == 0 {
			entries = append(entries, directory(dir))
		}
		entries = append(entries, file(fmt.Sprintf("%s/%d", dir, i), strings.Repeat("x", 2000)))
	}
	raw := tarOf(append([]entry{directory("usr")}, entries...)...)
	for name, layer := range map[string]func(context.Context, Source, *Target, func(*tar.Header) error) error{"lean": Layer, "containerd": reference} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				target := &Target{Dir: b.TempDir(), Overlay: true}
				must(b, layer(b.Context(), newParts(raw, 256<<10), target, func(*tar.Header) error { return nil }))
			}
		})
	}
}
