//go:build linux

package node

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

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// noise is n bytes that look like nothing.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(b)
	must(t, errors.Join(err, w.Close()))
	return out.Bytes()
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
		{"gzip", gzipped(t, plain), plain},
		{"gzip of several members", append(gzipped(t, plain[:1000]), gzipped(t, plain[1000:])...), plain},
		{"zstd", zstded(t, plain), plain},
		{"zstd behind a skippable frame", append(skip, zstded(t, plain)...), plain},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := magicDecoder{}.decode(iotest.HalfReader(bytes.NewReader(tt.blob)))
			must(t, err)
			defer r.Close()
			p := newPipe(r)
			defer p.Close()
			got, err := io.ReadAll(p)
			if err != nil || !bytes.Equal(got, tt.want) {
				t.Errorf("%d bytes, %v; want %d", len(got), err, len(tt.want))
			}
		})
	}
	for name, blob := range map[string][]byte{"gzip": gzipped(t, plain), "zstd": zstded(t, plain)} {
		r, err := magicDecoder{}.decode(bytes.NewReader(blob[:len(blob)/2]))
		must(t, err)
		if n, err := io.Copy(io.Discard, r); err == nil {
			t.Errorf("cut %s: %d bytes and no error", name, n)
		}
		r.Close()
	}
}

// TestZstdDecodersAreUsedAgain: but for those with a large window.
func TestZstdDecodersAreUsedAgain(t *testing.T) {
	if raceDetector {
		t.Skip("sync.Pool drops at random under the race detector")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would empty the pool
	blob := zstded(t, noise(64<<10))
	decode := func() {
		r, err := magicDecoder{}.decode(bytes.NewReader(blob))
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
	if got := after.TotalAlloc - before.TotalAlloc; got > layers*readAhead/2 {
		t.Errorf("%d layers take %d bytes, more than half a buffer each", layers, got)
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

func TestPipe(t *testing.T) {
	bad := errors.New("bad disk")
	for _, size := range []int{0, 1, pipeBuffer - 1, pipeBuffer, pipeBuffer + 1, 3*pipeBuffer + 17, (pipeBuffers + 2) * pipeBuffer} {
		want := noise(size)
		p := newPipe(io.MultiReader(bytes.NewReader(want), iotest.ErrReader(bad)))
		got := make([]byte, min(size, 10))
		_, err := io.ReadFull(iotest.OneByteReader(p), got)
		must(t, err)
		rest, err := io.ReadAll(p)
		if got = append(got, rest...); !errors.Is(err, bad) || !bytes.Equal(got, want) {
			t.Errorf("size %d: %d bytes, error %v", size, len(got), err)
		}
		must(t, p.Close())
	}
	// Closed early, the goroutine ends and reading says so.
	p := newPipe(bytes.NewReader(noise(20 * pipeBuffer)))
	_, err := io.ReadFull(p, make([]byte, 100))
	must(t, err)
	must(t, p.Close())
	if _, err := p.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("read after Close: %v", err)
	}
}

func TestLimit(t *testing.T) {
	for _, tt := range []struct {
		size, limit int64
		fits        bool
	}{{0, 0, true}, {99, 100, true}, {100, 100, true}, {101, 100, false}} {
		l := &limit{r: bytes.NewReader(noise(int(tt.size))), left: tt.limit}
		_, err := io.Copy(io.Discard, l)
		if (err == nil) != tt.fits || (l.left >= 0) != tt.fits {
			t.Errorf("%d bytes, limit %d: %v, left %d", tt.size, tt.limit, err, l.left)
		}
	}
}

func TestUnpackedSize(t *testing.T) {
	zeros := make([]byte, 100_000)
	var streamed bytes.Buffer
	e, err := zstd.NewWriter(&streamed)
	must(t, err)
	_, err = e.Write(zeros)
	must(t, errors.Join(err, e.Flush(), e.Close()))
	members := append(gzipped(t, zeros), gzipped(t, nil)...)
	tests := []struct {
		name string
		blob []byte
		want int64
	}{
		{"gzip", gzipped(t, zeros), 100_000},
		{"gzip whose trailer tells of the last member only", members, int64(len(members)) * guessRatio},
		{"zstd with a size", zstded(t, zeros), 100_000},
		{"zstd without a size", streamed.Bytes(), int64(streamed.Len()) * guessRatio},
		{"plain", noise(1000), 1000},
		{"tiny", []byte("x"), guessRatio},
	}
	for _, tt := range tests {
		b := memory{dg(tt.name): tt.blob}
		l := &loader{bundle: b}
		desc := descOf(tt.name)
		desc.Size = int64(len(tt.blob))
		if got, _ := l.unpackedSize(t.Context(), desc); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
