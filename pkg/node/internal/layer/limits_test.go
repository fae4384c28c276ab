package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"math"
	"testing"

	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

func TestLimits(t *testing.T) {
	const size = 1 << 20
	for _, tt := range []struct {
		name  string
		blob  []byte
		free  int64
		sized int64
		max   int64 // of the tar stream
	}{
		{"plain", noise(size), -1, maxRatio * size, maxRatio * size},
		{"gzip that states its size", bundletest.Gzip(t, make([]byte, 50*smallLayer)), -1, 50 * smallLayer, 50 * smallLayer},
		{"small", bundletest.Gzip(t, make([]byte, 1000)), -1, smallLayer, smallLayer},
		{"a tenth stays free", noise(size), 100 * size, maxRatio * size, 90 * size},
		{"what is stated may use it", noise(size), size + 1, maxRatio * size, size},
		{"full disk", noise(size), 0, maxRatio * size, size},
	} {
		if l := newLimits(bytes.NewReader(tt.blob), tt.free); l.sized != tt.sized || l.tar.max != tt.max {
			t.Errorf("%s: %+v, want %d, %d", tt.name, l, tt.sized, tt.max)
		}
	}
}

func TestLimitErrors(t *testing.T) {
	for _, tt := range []struct {
		out, read int64
		damaged   bool
	}{{501, 501, false}, {501, 501 / maxRatio, true}, {501, 4, false}, {1001, 1001, true}, {90, 0, false}} {
		l := &limits{sized: 1000, stated: 100, tar: counter{n: tt.out, max: 500}}
		if err := l.err(tt.read); errors.Is(err, archive.ErrDamaged) != tt.damaged {
			t.Errorf("%d bytes from %d: %v, want damaged: %t", tt.out, tt.read, err, tt.damaged)
		}
	}
}

// TestFileLimits counts regular and sparse files by their headers, up to one byte too many.
func TestFileLimits(t *testing.T) {
	sparse := map[string]string{"GNU.sparse.map": "0,0"}
	for _, pax := range []map[string]string{nil, sparse} {
		l := &limits{space: 10, files: counter{max: 10}, sparse: counter{max: 10}}
		for i, size := range []int64{0, 9, 1, 1} {
			h := &tar.Header{Typeflag: tar.TypeReg, Size: size, PAXRecords: pax}
			if err := l.file(h); (err != nil) != (i == 3) {
				t.Errorf("file %d with %v: %v", i, pax, err)
			}
		}
		if !l.exceeded() {
			t.Errorf("%v: not exceeded", pax)
		}
		if err := l.err(0); pax != nil && !errors.As(err, new(*SpaceError)) {
			t.Errorf("a sparse file without space: %v", err)
		}
	}
	l := &limits{files: counter{max: 10}, sparse: counter{max: 100}}
	for _, h := range []*tar.Header{
		{Typeflag: tar.TypeReg, Size: 100, PAXRecords: map[string]string{"GNU.sparse.major": "1"}},
		{Typeflag: tar.TypeDir, Size: 1 << 40},
	} {
		if err := l.file(h); err != nil || l.exceeded() {
			t.Errorf("%+v: %v", h, err)
		}
	}
	c := counter{max: 5}
	for range 2 {
		if c.add(math.MaxInt64) {
			t.Error("a huge file is within the limit, or the sum of two")
		}
	}
	if err := l.file(&tar.Header{Typeflag: tar.TypeGNUSparse}); err == nil {
		t.Error("old GNU format: no error")
	}
}

func TestStreamLimit(t *testing.T) {
	for _, tt := range []struct {
		size, limit int64
		fits        bool
	}{{0, 0, true}, {99, 100, true}, {100, 100, true}, {101, 100, false}} {
		l := &limits{tar: counter{max: tt.limit}}
		n, err := io.Copy(io.Discard, l.stream(bytes.NewReader(noise(int(tt.size)))))
		if (err == nil) != tt.fits || l.exceeded() == tt.fits || n > tt.limit {
			t.Errorf("%d bytes, limit %d: %v after %d", tt.size, tt.limit, err, n)
		}
	}
}
