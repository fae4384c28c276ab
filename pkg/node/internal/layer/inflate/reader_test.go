package inflate

import (
	"bytes"
	"compress/flate"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/iotest"
)

// verdict is the result of decoding a stream.
type verdict string

const (
	valid    verdict = "valid"
	cut      verdict = "cut" // too short
	nothing  verdict = "empty"
	header   verdict = "bad header"
	corrupt  verdict = "corrupt"
	checksum verdict = "bad checksum"
)

// ours decodes with this package.
func ours(src io.Reader) ([]byte, verdict) {
	r, err := NewReader(src)
	if err != nil {
		if err == io.EOF {
			return nil, nothing
		}
		return nil, verdictOf(err)
	}
	defer r.Close()
	out, err := readAll(r)
	return out, verdictOf(err)
}

// readAll reads all parts, with two buffers in turn. It overwrites each buffer when it has a
// copy of the part: the Reader must not need it any more.
func readAll(r *Reader) (out []byte, err error) {
	buffers := buffersPool.Get().(*[2]Buffer)
	defer buffersPool.Put(buffers)
	for i := 0; err == nil; i++ {
		b := &buffers[i%2]
		var part []byte
		part, err = r.Next(b)
		out = append(out, part...)
		for i := range part {
			part[i] = 0xaa
		}
		copy(b[:], part) // the history
	}
	if err == io.EOF {
		return out, nil
	}
	return out, err
}

var buffersPool = sync.Pool{New: func() any { return new([2]Buffer) }}

// theirs decodes with the standard library.
func theirs(src io.Reader) ([]byte, verdict) {
	r, err := stdgzip.NewReader(src)
	if err != nil {
		if err == io.EOF {
			return nil, nothing
		}
		return nil, verdictOf(err)
	}
	out, err := io.ReadAll(r)
	return out, verdictOf(err)
}

func verdictOf(err error) verdict {
	var damage flate.CorruptInputError
	switch {
	case err == nil:
		return valid
	case errors.Is(err, io.ErrUnexpectedEOF):
		return cut
	case errors.Is(err, ErrHeader), errors.Is(err, stdgzip.ErrHeader):
		return header
	case errors.Is(err, ErrChecksum), errors.Is(err, stdgzip.ErrChecksum):
		return checksum
	case errors.Is(err, ErrCorrupt), errors.As(err, &damage):
		return corrupt
	}
	return verdict(err.Error())
}

// same fails the test unless both decoders return the same bytes and the same verdict.
func same(t *testing.T, name string, stream []byte) (verdict, int) {
	t.Helper()
	want, wantVerdict := theirs(bytes.NewReader(stream))
	got, gotVerdict := ours(bytes.NewReader(stream))
	if gotVerdict != wantVerdict || !bytes.Equal(got, want) {
		t.Errorf("%s: %d bytes, %s; the standard library: %d bytes, %s", name, len(got), gotVerdict, len(want), wantVerdict)
	}
	return gotVerdict, len(got)
}

// compressed makes a member with the standard library.
func compressed(t testing.TB, level int, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := stdgzip.NewWriterLevel(&out, level)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

var levels = []int{stdgzip.HuffmanOnly, stdgzip.DefaultCompression, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9}

// noise is n bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return b
}

// words is about n bytes of text with matches of all distances.
func words(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, "%x ", r.Uint64()>>r.IntN(60))
		if start := len(b) - 1 - r.IntN(min(len(b), 40<<10)); r.IntN(3) == 0 {
			b = append(b, b[start:min(len(b), start+r.IntN(400))]...)
		}
	}
	return b
}

// machine is n bytes that are distributed like those of a program.
func machine(n int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	b := make([]byte, n)
	for i := range b {
		switch r.IntN(4) {
		case 0:
			b[i] = byte(r.ExpFloat64() * 10)
		case 1:
			b[i] = 0x48
		case 2:
			b[i] = b[max(0, i-8)]
		}
	}
	return b
}

// contents are what the tests compress: edges of the window and of kinds of blocks.
func contents() map[string][]byte {
	all := map[string][]byte{
		"nothing":         nil,
		"one byte":        {'x'},
		"one byte often":  bytes.Repeat([]byte{'x'}, 1<<20),
		"words":           words(700 << 10),
		"machine":         machine(700 << 10),
		"noise":           noise(300 << 10),
		"noise and again": append(noise(history), noise(history)...),
		"mixture":         bytes.Join([][]byte{words(100 << 10), noise(100 << 10), make([]byte, 100<<10), machine(200 << 10)}, nil),
	}
	for period := 2; period <= 17; period++ {
		all[fmt.Sprint("period ", period)] = bytes.Repeat(noise(period), 3000)
	}
	for _, n := range []int{65535, 65536, winFull - 1, winFull, winFull + 1, winMask, winMask + 1, winMask + 2} {
		all[fmt.Sprint("size ", n)] = words(n)[:n]
	}
	return all
}

func TestLevels(t *testing.T) {
	for name, content := range contents() {
		for _, level := range levels {
			if len(content) > 300<<10 && level > 1 && level != 6 {
				continue // the others write nothing else of such a length
			}
			stream := compressed(t, level, content)
			got, v := ours(bytes.NewReader(stream))
			if v != valid || !bytes.Equal(got, content) {
				t.Errorf("%s, level %d: %d bytes, %s; want %d", name, level, len(got), v, len(content))
			}
		}
	}
}

// TestMembers joins members, also empty ones: their contents follow each other, and a
// match never reaches into the member before.
func TestMembers(t *testing.T) {
	var stream, want []byte
	for i, content := range [][]byte{nil, words(5000), nil, nil, noise(100_000), words(300_000), {1}, nil} {
		stream = append(stream, compressed(t, levels[i%len(levels)], content)...)
		want = append(want, content...)
	}
	if got, v := ours(bytes.NewReader(stream)); v != valid || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %s; want %d", len(got), v, len(want))
	}
	for _, after := range [][]byte{{0}, make([]byte, 9), make([]byte, 512), []byte("garbage!!"), []byte("garbage of more than ten bytes")} {
		same(t, fmt.Sprintf("%q after", after), append(bytes.Clone(stream), after...))
	}
}

// TestSources reads through sources that return bytes and errors in every way that
// io.Reader allows.
func TestSources(t *testing.T) {
	content := words(400_000)
	stream := append(compressed(t, 6, content), compressed(t, 0, content)...)
	content = append(content, content...)
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"one byte each":     iotest.OneByteReader,
		"half each":         iotest.HalfReader,
		"data with the end": iotest.DataErrReader,
		"both":              func(r io.Reader) io.Reader { return iotest.DataErrReader(iotest.OneByteReader(r)) },
		"idle":              func(r io.Reader) io.Reader { return &idle{r: r, times: maxIdle} },
	} {
		if got, v := ours(wrap(bytes.NewReader(stream))); v != valid || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %s; want %d", name, len(got), v, len(content))
		}
	}
	if _, v := ours(&idle{r: bytes.NewReader(stream), times: maxIdle + 1}); v != verdict(io.ErrNoProgress.Error()) {
		t.Errorf("a source that returns nothing: %s", v)
	}
	// An error of the source is returned as it is, after the bytes read before it.
	bad := errors.New("bad disk")
	for _, at := range []int{0, 3, 10, 11, 1000, len(stream) - 1} {
		got, v := ours(io.MultiReader(bytes.NewReader(stream[:at]), iotest.ErrReader(bad)))
		if v != verdict(bad.Error()) || !bytes.HasPrefix(content, got) {
			t.Errorf("error after %d bytes: %d bytes, %s", at, len(got), v)
		}
	}
	if got, v := ours(iotest.TimeoutReader(iotest.HalfReader(bytes.NewReader(stream)))); v != verdict(iotest.ErrTimeout.Error()) || !bytes.HasPrefix(content, got) {
		t.Errorf("timeout: %d bytes, %s", len(got), v)
	}
}

// idle returns no bytes several times before each byte.
type idle struct {
	r            io.Reader
	times, count int
}

func (i *idle) Read(p []byte) (int, error) {
	if i.count++; i.count <= i.times {
		return 0, nil
	}
	i.count = 0
	return i.r.Read(p)
}

// TestNext reads parts that stay in their buffers, and looks at the errors around the end.
func TestNext(t *testing.T) {
	content := words(600_000)
	stream := compressed(t, 6, content)
	damaged := bytes.Clone(stream)
	damaged[len(damaged)-8]++ // the checksum
	for _, tt := range []struct {
		name   string
		stream []byte
		want   error
	}{{"valid", stream, io.EOF}, {"checksum", damaged, ErrChecksum}, {"cut", stream[:len(stream)-4], io.ErrUnexpectedEOF}} {
		r, err := NewReader(bytes.NewReader(tt.stream))
		if err != nil {
			t.Fatal(err)
		}
		var parts [][]byte
		for err == nil {
			var part []byte
			b := new(Buffer)
			if part, err = r.Next(b); len(part) < winFull-history && err == nil || cap(part) > len(b) {
				t.Errorf("%s: a part of %d bytes in %d, %v", tt.name, len(part), cap(part), err)
			}
			parts = append(parts, part)
		}
		if got := bytes.Join(parts, nil); !errors.Is(err, tt.want) || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes in %d parts, %v", tt.name, len(got), len(parts), err)
		}
		if part, again := r.Next(new(Buffer)); len(part) != 0 || again != err {
			t.Errorf("%s: Next after the end: %d bytes, %v", tt.name, len(part), again)
		}
		r.Close()
		if _, err := r.Next(new(Buffer)); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: Next after Close: %v", tt.name, err)
		}
		if err := r.Close(); err != nil { // must not release the decoder twice
			t.Errorf("%s: second Close: %v", tt.name, err)
		}
	}
}

// TestMemory reads a long stream: nothing is allocated for each of its blocks, and the
// buffers are used again.
func TestMemory(t *testing.T) {
	stream := compressed(t, 1, bytes.Repeat(words(1<<20), 16))
	b := new(Buffer)
	src := bytes.NewReader(stream)
	read := func() {
		src.Reset(stream)
		r, err := NewReader(src)
		for err == nil {
			_, err = r.Next(b)
		}
		if err != io.EOF {
			t.Fatal(err)
		}
		r.Close()
	}
	// A garbage collection may empty the pool in between: one decoder, at times.
	if n := testing.AllocsPerRun(20, read); n > 2 {
		t.Errorf("%v allocations for a stream of 16 MiB", n)
	}
}
