package layer

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"

	"stowage/internal/need"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/node/internal/layer/inflate"
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

// decodeAll writes all that a decoder decodes.
func decodeAll(w io.Writer, d decoder) error {
	buf := buffers.Get().(*inflate.Buffer)
	defer buffers.Put(buf)
	for {
		part, err := d.Next(buf)
		w.Write(part)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
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
			r, err := decode(t.Context(), iotest.HalfReader(bytes.NewReader(tt.blob)), nil)
			must(t, err)
			defer r.Close()
			var got bytes.Buffer
			if err := decodeAll(&got, r); err != nil || !bytes.Equal(got.Bytes(), tt.want) {
				t.Errorf("%d bytes, %v; want %d", got.Len(), err, len(tt.want))
			}
		})
	}
	for name, blob := range map[string][]byte{"gzip": bundletest.Gzip(t, plain), "zstd": zstded(t, plain)} {
		r, err := decode(t.Context(), bytes.NewReader(blob[:len(blob)/2]), nil)
		must(t, err)
		if err := decodeAll(io.Discard, r); err == nil {
			t.Errorf("cut %s: no error", name)
		}
		r.Close()
	}
}

// TestZstdDecoderReuse checks that decoders are reused, except those with a large window.
func TestZstdDecoderReuse(t *testing.T) {
	if need.Race {
		t.Skip("sync.Pool drops at random under the race detector")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // it would empty the pool
	blob, unused := zstded(t, noise(64<<10)), new(inflate.Buffer)
	decode := func() {
		r, err := decode(t.Context(), bytes.NewReader(blob), nil)
		must(t, err)
		must(t, errors.Join(decodeAll(io.Discard, r), r.Close(), r.Close()))
		if _, err := r.Next(unused); err == nil || err == io.EOF {
			t.Errorf("Next after Close: %v", err)
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
		want int64
	}{
		{"one segment", blob[:zstd.HeaderMaxSize], 64 << 10},
		{"a window of 8 MiB", []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 13 << 3, 0, 0, 0}, 8 << 20},
		{"a window of 16 MiB", []byte{0x28, 0xb5, 0x2f, 0xfd, 0, 14 << 3, 0, 0, 0}, 16 << 20},
		{"skippable", []byte{0x53, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 'x', 'y'}, 0},
		{"cut", zstdMagic, 0},
	} {
		if got := windowOf(tt.head); got != tt.want {
			t.Errorf("%s: window %d, want %d", tt.name, got, tt.want)
		}
	}
}

// frameWith returns a zstd frame of zeros with a window of 2^log bytes.
func frameWith(log byte) []byte {
	return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, (log - 10) << 3, 3, 0, 16, 0} // one run of 128 KiB
}

// TestDecoderMemory checks what decoders take of their memory, wait for and return.
func TestDecoderMemory(t *testing.T) {
	const total = 32 << 20
	for _, tt := range []struct {
		name  string
		blob  []byte
		taken int64
		err   error
	}{
		{"gzip", bundletest.Gzip(t, make([]byte, 1000)), 0, nil},
		{"a common window", frameWith(20), keptWindow, nil},
		{"a large window", frameWith(24), 16 << 20, nil},
		{"a window above three quarters", frameWith(25), 0, ErrMemory},
		{"a window that containerd refuses", frameWith(30), 0, zstd.ErrWindowSizeExceeded},
		{"a large window in the second frame", append(frameWith(20), frameWith(24)...), keptWindow, ErrMemory},
		{"a large segment", []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 2, 1, 0, 0}, 0, ErrMemory},
		{"a large segment in the second frame", append(frameWith(20), 0x28, 0xb5, 0x2f, 0xfd, 0xa0, 0, 0, 0, 2, 1, 0, 0), keptWindow, ErrMemory},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := NewMemory(total)
			r, err := decode(t.Context(), bytes.NewReader(tt.blob), m)
			if err == nil {
				if taken := total - m.free; taken != tt.taken {
					t.Errorf("%d bytes taken, want %d", taken, tt.taken)
				}
				err = decodeAll(io.Discard, r)
				must(t, r.Close())
			}
			if !errors.Is(err, tt.err) {
				t.Errorf("error %v, want %v", err, tt.err)
			}
			if m.free != total {
				t.Errorf("%d bytes are not returned", total-m.free)
			}
		})
	}
}

func TestMemoryWaits(t *testing.T) {
	m := NewMemory(10)
	must(t, m.acquire(t.Context(), 6))
	if m.try(5) || !m.try(4) {
		t.Error("4 of 10 are free")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := m.acquire(ended, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
	acquired := make(chan error)
	for range 3 {
		go func() { acquired <- m.acquire(t.Context(), 3) }()
	}
	m.release(4)
	must(t, <-acquired)
	m.release(6)
	must(t, <-acquired)
	must(t, <-acquired)
	m.release(9)
	if m.free != 10 {
		t.Errorf("%d free at the end", m.free)
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
