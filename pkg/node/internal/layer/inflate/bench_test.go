//go:build linux

package inflate

import (
	"archive/tar"
	"bytes"
	stdgzip "compress/gzip"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	kpgzip "github.com/klauspost/compress/gzip"
)

// layerSize is how much of the Go installation goes into a layer, in bytes.
const layerSize = 48 << 20

// goLayer returns a gzip layer of the files below a directory of the Go installation.
func goLayer(b *testing.B, dir string) []byte {
	b.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		b.Skip("no Go installation to make layers of: ", err)
	}
	var out bytes.Buffer
	zw := stdgzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	size := 0
	err = filepath.WalkDir(filepath.Join(strings.TrimSpace(string(root)), dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if size += len(content); size > layerSize {
			return fs.SkipAll
		}
		if err := tw.WriteHeader(&tar.Header{Name: path, Size: int64(len(content)), Mode: 0o644}); err != nil {
			return err
		}
		_, err = tw.Write(content)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := tw.Close(); err != nil {
		b.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkInflate answers how fast a layer is decoded, and how much faster than by the
// decoders that were at hand. They take turns, and the best time of each counts, in
// processor time of the thread: so it says something on a busy machine as well.
func BenchmarkInflate(b *testing.B) {
	for _, layer := range []struct{ name, dir string }{{"programs", "pkg/tool"}, {"source", "src"}} {
		b.Run(layer.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			blob := goLayer(b, layer.dir)
			var size int64
			decoders := []func(io.Reader) (int64, error){
				decodeParts,
				func(src io.Reader) (int64, error) { r, err := kpgzip.NewReader(src); return discard(r, err) },
				func(src io.Reader) (int64, error) { r, err := stdgzip.NewReader(src); return discard(r, err) },
			}
			best := []time.Duration{time.Hour, time.Hour, time.Hour}
			for b.Loop() {
				for i, decode := range decoders {
					start := threadTime(b)
					var err error
					if size, err = decode(bytes.NewReader(blob)); err != nil {
						b.Fatal(err)
					}
					best[i] = min(best[i], threadTime(b)-start)
				}
			}
			b.ReportMetric(float64(size)/1e6/best[0].Seconds(), "MB/s")
			b.ReportMetric(best[1].Seconds()/best[0].Seconds(), "x-klauspost")
			b.ReportMetric(best[2].Seconds()/best[0].Seconds(), "x-compress/gzip")
		})
	}
}

// decodeParts decodes with this package and returns the size of the output.
func decodeParts(src io.Reader) (size int64, err error) {
	r, err := NewReader(src)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	buffers := buffersPool.Get().(*[2]Buffer)
	defer buffersPool.Put(buffers)
	for i := 0; err == nil; i++ {
		var part []byte
		part, err = r.Next(&buffers[i%2])
		size += int64(len(part))
	}
	if err == io.EOF {
		err = nil
	}
	return size, err
}

// discard reads r to its end.
func discard(r io.Reader, err error) (int64, error) {
	if err != nil {
		return 0, err
	}
	return io.Copy(io.Discard, r)
}

// threadTime is the processor time that the thread has used.
func threadTime(b *testing.B) time.Duration {
	const thread = 1 // RUSAGE_THREAD of getrusage(2)
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
