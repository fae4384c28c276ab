package iox

import (
	"bytes"
	"context"
	"io"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// TestRate reads through a limit with the clock of synctest: the first bytes may come in a
// burst of a quarter of a second.
func TestRate(t *testing.T) {
	for _, c := range []struct {
		name     string
		rate     int64
		size     int64
		readers  int
		at       bool          // by ReadAt
		min, max time.Duration // for all of them
	}{
		{"no limit", 0, 10 << 20, 2, false, 0, 0},
		{"within a burst", 1 << 20, 256 << 10, 1, false, 0, 0},
		{"one reader", 1 << 20, 10 << 20, 1, false, 9750 * time.Millisecond, 9750 * time.Millisecond},
		{"several share it", 1 << 20, 2 << 20, 5, false, 9750 * time.Millisecond, 9750 * time.Millisecond},
		{"ReadAt", 1 << 20, 10 << 20, 1, true, 9750 * time.Millisecond, 9750 * time.Millisecond},
		{"slower than a byte at once", 3, 30, 1, false, 9 * time.Second, 10 * time.Second},
		{"fast", 1 << 40, 10 << 20, 1, false, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start, rate := time.Now(), NewRate(c.rate)
				data := bytes.Repeat([]byte("0123456789"), int(c.size/10)+1)[:c.size]
				var wg sync.WaitGroup
				for range c.readers {
					wg.Go(func() {
						r := rate.Reader(t.Context(), bytes.NewReader(data))
						if c.at {
							r = io.NewSectionReader(rate.ReaderAt(t.Context(), bytes.NewReader(data)), 0, c.size)
						}
						if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, data) {
							t.Errorf("read %d bytes, error %v", len(got), err)
						}
					})
				}
				wg.Wait()
				const tick = time.Microsecond // of rounding
				if took := time.Since(start); took < c.min-tick || took > c.max+time.Millisecond {
					t.Errorf("took %s, want %s to %s", took, c.min, c.max)
				}
			})
		})
	}
}

// TestRateBurst reads after a pause, which saves no more than a quarter of a second.
func TestRateBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rate := NewRate(1000)
		r := rate.Reader(t.Context(), bytes.NewReader(make([]byte, 1<<20)))
		time.Sleep(time.Hour)
		start := time.Now()
		if _, err := io.CopyN(io.Discard, r, 1250); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < time.Second-time.Millisecond {
			t.Errorf("1250 bytes took %s after a pause, want a second", took)
		}
	})
}

func TestRateEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		rate := NewRate(1)
		if _, err := io.ReadAll(rate.Reader(ctx, bytes.NewReader(make([]byte, 100)))); err != context.DeadlineExceeded {
			t.Errorf("Reader: error %v, want the context's", err)
		}
		if _, err := rate.ReaderAt(ctx, bytes.NewReader(make([]byte, 100))).ReadAt(make([]byte, 9), 0); err != context.DeadlineExceeded {
			t.Errorf("ReaderAt: error %v, want the context's", err)
		}
	})
}

// TestRateIsAReader checks that a limit changes nothing but the time.
func TestRateIsAReader(t *testing.T) {
	data := []byte("the bytes of a bundle")
	for _, n := range []int64{0, 16, 1 << 30} {
		synctest.Test(t, func(t *testing.T) {
			rate := NewRate(n)
			if err := iotest.TestReader(rate.Reader(t.Context(), bytes.NewReader(data)), data); err != nil {
				t.Errorf("Reader at %d: %v", n, err)
			}
			at := rate.ReaderAt(t.Context(), bytes.NewReader(data))
			if err := iotest.TestReader(io.NewSectionReader(at, 0, int64(len(data))), data); err != nil {
				t.Errorf("ReaderAt at %d: %v", n, err)
			}
		})
	}
}
