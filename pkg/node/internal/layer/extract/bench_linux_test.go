package extract

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stowage/internal/need"
)

// BenchmarkLayer writes 10,000 small files with Layer and with containerd alone, in turn.
// It reports the ratios of their times and processor times.
func BenchmarkLayer(b *testing.B) {
	need.Root(b, "set the owners of files")
	entries := []entry{directory("usr")}
	for i := range 10000 {
		dir := fmt.Sprintf("usr/%d", i/20)
		if i%20 == 0 {
			entries = append(entries, directory(dir))
		}
		entries = append(entries, file(fmt.Sprintf("%s/%d", dir, i), strings.Repeat("x", 2000)))
	}
	raw := tarOf(entries...)
	for name, target := range map[string]Target{"overlay": {Overlay: true, Detached: true}, "plain": {}} {
		b.Run(name, func(b *testing.B) {
			var wall, processor [2]time.Duration
			for b.Loop() {
				for i, layer := range []layerFunc{Layer, reference} {
					target.Dir = b.TempDir()
					before, start := processorTime(b), time.Now()
					must(b, layer(b.Context(), newParts(raw, 256<<10), &target, all))
					wall[i] += time.Since(start)
					processor[i] += processorTime(b) - before
				}
			}
			b.ReportMetric(float64(wall[0])/float64(wall[1]), "wall-ratio")
			b.ReportMetric(float64(processor[0])/float64(processor[1]), "cpu-ratio")
			b.ReportMetric(processor[0].Seconds()/float64(b.N), "cpu-s/layer")
		})
	}
}

// processorTime returns that of this process.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u unix.Rusage
	must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
