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
			decoders := []func(io.Reader) (io.Reader, error){
				func(r io.Reader) (io.Reader, error) { return NewReader(r) },
				func(r io.Reader) (io.Reader, error) { return kpgzip.NewReader(r) },
				func(r io.Reader) (io.Reader, error) { return stdgzip.NewReader(r) },
			}
			best := []time.Duration{time.Hour, time.Hour, time.Hour}
			for b.Loop() {
				for i, open := range decoders {
					start := threadTime(b)
					r, err := open(bytes.NewReader(blob))
					if err == nil {
						size, err = io.Copy(io.Discard, r)
					}
					if c, ok := r.(io.Closer); ok {
						c.Close()
					}
					if err != nil {
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

// threadTime is the processor time that the thread has used.
func threadTime(b *testing.B) time.Duration {
	const thread = 1 // RUSAGE_THREAD of getrusage(2)
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
