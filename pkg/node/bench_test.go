//go:build linux

package node

import (
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/internal/registrytest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// scaleOfCalico makes the generated set as large as the real one, about 250 MB.
const scaleOfCalico = 600

// BenchmarkLoad measures how long a node takes to load the images of Calico, and what that
// costs, beside containerd's own import. Each round has a new containerd.
func BenchmarkLoad(b *testing.B) {
	s := newShelf(b)
	path := s.File(archive.PlanOptions{}, wantedAll(s.calico(scaleOfCalico))...)
	for _, kind := range []string{"load", "load-discard", "ctr", "ctr-local"} {
		b.Run(kind, func(b *testing.B) {
			b.ReportAllocs()
			var peak int64
			var cpu time.Duration
			for b.Loop() {
				b.StopTimer()
				machine, err := nodetest.Launch(b.Context(), nodetest.Options{Dir: os.Getenv("STOWAGE_BENCH_DIR")})
				must(b, err)
				syscall.Sync()
				b.StartTimer()
				switch kind {
				case "ctr":
					_, err = machine.Ctr("images", "import", path)
				case "ctr-local":
					_, err = machine.Ctr("images", "import", "--local", path)
				default:
					var c costs
					c, err = order{Address: machine.Address(), Bundle: path, Discard: kind == "load-discard"}.run()
					peak = max(peak, c.peak)
					cpu += c.cpu
				}
				b.StopTimer()
				must(b, err)
				cpu += cpuTime(b, machine.Pid())
				must(b, machine.Stop())
				b.StartTimer()
			}
			if peak > 0 { // ctr's own time and memory are not known
				b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
			}
			b.ReportMetric(cpu.Seconds()/float64(b.N), "cpu-s/op")
		})
	}
}

// BenchmarkNothingToDo measures a load of images that the node has.
func BenchmarkNothingToDo(b *testing.B) {
	for _, images := range []int{3, 200} {
		b.Run(strconv.Itoa(images), func(b *testing.B) {
			s := newShelf(b)
			var names []string
			for i := range images {
				names = append(names, s.Image("acme/app"+strconv.Itoa(i), "v1", registrytest.Image{Layers: []*registrytest.Layer{
					{Files: []registrytest.File{{Name: "base", Size: 100}}},
					{Seed: uint64(i), Files: []registrytest.File{{Name: "app", Size: 100}}},
				}}))
			}
			bundle := s.Bundle(names...)
			machine := nodetest.Start(b)
			n, err := Connect(b.Context(), Options{Address: machine.Address()})
			must(b, err)
			defer n.Close()
			start := time.Now()
			_, err = n.Load(b.Context(), bundle, LoadOptions{})
			must(b, err)
			b.Logf("first load of %d images: %v", images, time.Since(start))
			b.ReportAllocs()
			for b.Loop() {
				r, err := n.Load(b.Context(), bundle, LoadOptions{})
				if err != nil || !r.UpToDate() {
					b.Fatal(r, err)
				}
			}
		})
	}
}

// cpuTime returns the processor time of a process: fields 14 and 15 of its stat file, in
// hundredths of a second (proc(5)).
func cpuTime(b *testing.B, pid int) time.Duration {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	must(b, err)
	fields := strings.Fields(string(raw))
	user, err := strconv.Atoi(fields[13])
	must(b, err)
	system, err := strconv.Atoi(fields[14])
	must(b, err)
	return time.Duration(user+system) * 10 * time.Millisecond
}

// TestMemoryStays loads layers that are much larger than the memory a load may use: 64 MiB at
// its peak, for any size of layers.
func TestMemoryStays(t *testing.T) {
	t.Parallel()
	if testing.Short() || need.Race {
		t.Skip("large layers take long, and the race detector has memory of its own")
	}
	const limit = 64 << 20
	machine, _ := connect(t)
	s := newShelf(t)
	var layers []*registrytest.Layer
	for i, c := range []registrytest.Compression{registrytest.Gzip, registrytest.Zstd, registrytest.GzipStored, registrytest.None} {
		layers = append(layers, &registrytest.Layer{Seed: uint64(i), Compression: c,
			Files: []registrytest.File{{Name: "f" + strconv.Itoa(i), Size: 100 << 20, Fill: registrytest.FillText}}})
	}
	name := s.Image("acme/huge", "v1", registrytest.Image{Layers: layers})
	path := s.File(archive.PlanOptions{}, bundletest.Wanted{Name: name})
	c, err := order{Address: machine.Address(), Bundle: path, Jobs: 4}.run()
	must(t, err)
	t.Logf("peak memory: %d MiB", c.peak>>20)
	if c.peak == 0 || c.peak > limit {
		t.Errorf("peak memory: %d bytes, the limit is %d", c.peak, limit)
	}
}
