package layer

import (
	"bytes"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"stowage/internal/iox"
	"stowage/pkg/node/internal/bundletest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noise returns n random bytes.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func zstded(t testing.TB, b []byte) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	must(t, err)
	return e.EncodeAll(b, nil)
}

func TestDecode(t *testing.T) {
	plain := noise(700 << 10)
	skip := []byte{0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y'}
	tests := []struct {
		name       string
		blob, want []byte
	}{
		{"plain", plain, plain},
		{"empty", nil, nil},
		{"three bytes", []byte{0x1f, 0x8b, 0x07}, []byte{0x1f, 0x8b, 0x07}},
		{"gzip", bundletest.Gzip(t, plain), plain},
		{"gzip of several members", append(bundletest.Gzip(t, plain[:1000]), bundletest.Gzip(t, plain[1000:])...), plain},
		{"zstd", zstded(t, plain), plain},
		{"zstd behind a skippable frame", append(skip, zstded(t, plain)...), plain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := decode(iotest.HalfReader(bytes.NewReader(tt.blob)))
			must(t, err)
			defer r.Close()
			p := newReadAhead(r)
			defer p.Close()
			got, err := io.ReadAll(p)
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(tt.want))
			}
		})
	}
	for name, blob := range map[string][]byte{"gzip": bundletest.Gzip(t, plain), "zstd": zstded(t, plain)} {
		r, err := decode(bytes.NewReader(blob[:len(blob)/2]))
		must(t, err)
		if n, err := io.Copy(io.Discard, r); err == nil {
			t.Errorf("cut %s: %d bytes and no error", name, n)
		}
		r.Close()
	}
}

// TestZstdDecoderReuse checks that decoders are reused, except those with a large window.
func TestZstdDecoderReuse(t *testing.T) {
	if bundletest.RaceDetector {
		t.Skip("sync.Pool drops at random under the race detector")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would empty the pool
	blob := zstded(t, noise(64<<10))
	decode := func() {
		r, err := decode(bytes.NewReader(blob))
		must(t, err)
		_, err = io.Copy(io.Discard, r)
		must(t, errors.Join(err, r.Close(), r.Close()))
		if _, err := r.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("read after Close: %v", err)
		}
	}
	decode()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	const layers = 32
	for range layers {
		decode()
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > layers*zstdBuffer/2 {
		t.Errorf("%d layers allocate %d bytes, more than half a buffer each", layers, got)
	}
	for _, tt := range []struct {
		name string
		head []byte
		want uint64
	}{
		{"one segment", blob[:zstd.HeaderMaxSize], 64 << 10},
		{"a window of 8 MiB", []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, 0, 0, 0}, 8 << 20},
		{"a window of 16 MiB", []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3, 0, 0, 0}, 16 << 20},
		{"skippable", []byte{0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y'}, math.MaxUint64},
		{"cut", zstdMagic, math.MaxUint64},
	} {
		if got := windowOf(tt.head); got != tt.want {
			t.Errorf("%s: window %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestReadAhead(t *testing.T) {
	bad := errors.New("bad disk")
	for _, size := range []int{0, 1, iox.BufferSize - 1, iox.BufferSize, iox.BufferSize + 1, 3*iox.BufferSize + 17, (aheadBuffers + 2) * iox.BufferSize} {
		want := noise(size)
		p := newReadAhead(io.MultiReader(bytes.NewReader(want), iotest.ErrReader(bad)))
		got := make([]byte, min(size, 10))
		_, err := io.ReadFull(iotest.OneByteReader(p), got)
		must(t, err)
		rest, err := io.ReadAll(p)
		if got = append(got, rest...); !errors.Is(err, bad) || !bytes.Equal(got, want) {
			t.Errorf("size %d: %d bytes, error %v", size, len(got), err)
		}
		must(t, p.Close())
	}
	// Closed early: the goroutine ends and Read returns an error.
	p := newReadAhead(bytes.NewReader(noise(20 * iox.BufferSize)))
	_, err := io.ReadFull(p, make([]byte, 100))
	must(t, err)
	must(t, p.Close())
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read after Close: %v", err)
	}
}

func TestUnpackedSize(t *testing.T) {
	zeros := make([]byte, 100_000)
	var streamed bytes.Buffer
	e, err := zstd.NewWriter(&streamed)
	must(t, err)
	_, err = e.Write(zeros)
	must(t, errors.Join(err, e.Flush(), e.Close()))
	members := append(bundletest.Gzip(t, zeros), bundletest.Gzip(t, nil)...)
	tests := []struct {
		name string
		blob []byte
		want int64
	}{
		{"gzip", bundletest.Gzip(t, zeros), 100_000},
		{"gzip whose trailer has the size of the last member only", members, int64(len(members)) * guessRatio},
		{"zstd with a size", zstded(t, zeros), 100_000},
		{"zstd without a size", streamed.Bytes(), int64(streamed.Len()) * guessRatio},
		{"plain", noise(1000), 1000},
		{"tiny", []byte("x"), guessRatio},
	}
	for _, tt := range tests {
		if got, _ := UnpackedSize(bytes.NewReader(tt.blob)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
