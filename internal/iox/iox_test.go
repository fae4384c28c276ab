package iox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadExactly(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 5<<10) // 80 KiB: grows twice
	for _, n := range []int{0, 1, 16<<10 - 1, 16 << 10, 16<<10 + 1, len(data)} {
		got, err := ReadExactly(iotest.HalfReader(bytes.NewReader(data)), n)
		if err != nil || !bytes.Equal(got, data[:n]) {
			t.Errorf("ReadExactly(%d) returned %d bytes, %v", n, len(got), err)
		}
	}
	if _, err := ReadExactly(bytes.NewReader(data), len(data)+1); err != io.ErrUnexpectedEOF {
		t.Errorf("one byte short: %v, want %v", err, io.ErrUnexpectedEOF)
	}
}

// TestReadExactlyMemory claims 1 GiB with a few bytes behind it.
func TestReadExactlyMemory(t *testing.T) {
	allocs := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ReadExactly(strings.NewReader("few"), 1<<30); err == nil {
				b.Fatal("no error")
			}
		}
	}).AllocedBytesPerOp()
	if allocs > 64<<10 {
		t.Errorf("%d bytes allocated for a length that is wrong", allocs)
	}
}

func TestWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	r := WithContext(ctx, strings.NewReader("abc"))
	if n, err := r.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("before the end: %d, %v", n, err)
	}
	cancel()
	if n, err := r.Read(make([]byte, 1)); n != 0 || err != context.Canceled {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

func TestReport(t *testing.T) {
	var sum int64
	r := Report(iotest.OneByteReader(strings.NewReader("abc")), func(n int64) { sum += n })
	if b, err := io.ReadAll(r); string(b) != "abc" || err != nil || sum != 3 {
		t.Errorf("read %q, %v, reported %d bytes", b, err, sum)
	}
}

func TestLimit(t *testing.T) {
	errLong := errors.New("too long")
	for _, tt := range []struct {
		name  string
		limit int64
		want  error
	}{
		{"one below", 2, errLong},
		{"exact", 3, nil},
		{"one above", 4, nil},
		{"zero", 0, errLong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := io.ReadAll(Limit(iotest.OneByteReader(strings.NewReader("abc")), tt.limit, errLong))
			if err != tt.want {
				t.Errorf("error %v, want %v", err, tt.want)
			}
			if int64(len(got)) > tt.limit {
				t.Errorf("%d bytes passed a limit of %d", len(got), tt.limit)
			}
		})
	}
}

func TestMonitor(t *testing.T) {
	m := NewMonitor(strings.NewReader("abc"))
	if _, err := io.ReadAll(m); err != nil || m.N() != 3 || m.Err() != nil {
		t.Errorf("N = %d, Err = %v, %v", m.N(), m.Err(), err)
	}
	broken := errors.New("broken")
	m = NewMonitor(iotest.ErrReader(broken))
	if _, err := io.ReadAll(m); err != broken || m.N() != 0 || m.Err() != broken {
		t.Errorf("N = %d, Err = %v, %v", m.N(), m.Err(), err)
	}
}

func TestBuffer(t *testing.T) {
	b := Buffer()
	defer Release(b)
	if len(*b) != BufferSize {
		t.Errorf("%d bytes", len(*b))
	}
}

// TestInterruptible ends a Read that waits for bytes.
func TestInterruptible(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	pr, pw := io.Pipe()
	defer pw.Close()
	r := Interruptible(ctx, pr)
	go pw.Write([]byte("abc")) // the Read below takes it
	buf := make([]byte, 8)
	if n, err := r.Read(buf); err != nil || string(buf[:n]) != "abc" {
		t.Errorf("Read returned %q, %v", buf[:n], err)
	}
	go cancel()
	for range 2 {
		if n, err := r.Read(buf); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("after the context ended: %d, %v", n, err)
		}
	}
}
