package archive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"
)

// readStream reads a native stream to its end; if some, it passes over every second layer.
func readStream(ctx context.Context, r io.Reader, some bool) (*Reader, map[digest.Digest]int64, error) {
	s, err := OpenStream(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	got := map[digest.Digest]int64{}
	for i := 0; ; i++ {
		e, err := s.Next()
		if err == io.EOF {
			r, err := s.Reader()
			return r, got, err
		}
		if err != nil {
			return nil, got, err
		}
		if some && i%2 == 0 {
			continue
		}
		n, err := io.Copy(io.Discard, e)
		if err != nil {
			return nil, got, err
		}
		got[e.Digest] = n
	}
}

func TestNativeStream(t *testing.T) {
	ownTemp(t)
	s, old := everyKind(), small()
	omit := func(d digest.Digest) bool { return old.Blobs[d] != nil }
	for name, opts := range map[string]PlanOptions{"whole": {}, "differential": {Omit: omit}, "no layers": {Omit: func(digest.Digest) bool { return true }}} {
		whole := open(t, s.bundle(t, opts))
		for _, c := range []Compression{Plain, Gzip, Zstd} {
			raw, err := os.ReadFile(s.bundleAs(t, c, opts))
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range []io.Reader{bytes.NewReader(raw), iotest.OneByteReader(bytes.NewReader(raw))} {
				sr, got, err := readStream(t.Context(), in, false)
				if err != nil {
					t.Fatalf("%s, %s: %v", name, c, err)
				}
				if sr.Digest() != whole.Digest() || len(sr.Images()) != len(whole.Images()) || sr.Compression() != c {
					t.Errorf("%s, %s: another bundle", name, c)
				}
				layers := 0
				for _, b := range whole.Blobs() {
					if !b.Manifest && sr.readable(&b) != nil {
						if layers++; got[b.Digest] != b.Size {
							t.Errorf("%s, %s: layer %s has %d bytes, want %d", name, c, b.Digest, got[b.Digest], b.Size)
						}
					}
				}
				if layers != len(got) {
					t.Errorf("%s, %s: %d layers, want %d", name, c, len(got), layers)
				}
			}
			if _, _, err := readStream(t.Context(), bytes.NewReader(raw), true); err != nil {
				t.Errorf("%s, %s, some passed over: %v", name, c, err)
			}
		}
	}
}

// TestNativeStreamDamage cuts and alters a stream at every place that matters.
func TestNativeStreamDamage(t *testing.T) {
	ownTemp(t)
	s := small()
	for _, c := range []Compression{Plain, Gzip, Zstd} {
		raw, err := os.ReadFile(s.bundleAs(t, c, PlanOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(raw); at += 97 {
			_, _, err := readStream(t.Context(), bytes.NewReader(raw[:at]), at%2 == 0)
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s cut at %d of %d: %v", c, at, len(raw), err)
			}
		}
		if c != Plain {
			continue
		}
		r := open(t, s.bundle(t, PlanOptions{}))
		for _, b := range r.Blobs() {
			bad := bytes.Clone(raw)
			bad[b.Offset+b.Size/2] ^= 1
			if _, _, err := readStream(t.Context(), bytes.NewReader(bad), false); !errors.Is(err, ErrDamaged) {
				t.Errorf("blob %s altered: %v", b.Digest, err)
			}
		}
		for name, tail := range map[string][]byte{"rubbish": []byte("x"), "too much": make([]byte, maxTail+1)} {
			if _, _, err := readStream(t.Context(), io.MultiReader(bytes.NewReader(raw), bytes.NewReader(tail)), false); !errors.Is(err, ErrDamaged) {
				t.Errorf("%s after the end: %v", name, err)
			}
		}
		if _, _, err := readStream(t.Context(), io.MultiReader(bytes.NewReader(raw), bytes.NewReader(make([]byte, maxTail))), false); err != nil {
			t.Errorf("zeros after the end: %v", err)
		}
		broken := io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), iotest.ErrReader(os.ErrDeadlineExceeded))
		if _, _, err := readStream(t.Context(), broken, false); !errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, ErrDamaged) {
			t.Errorf("a source that fails: %v", err)
		}
	}
}

func TestStreamEndsWithContext(t *testing.T) {
	ownTemp(t)
	raw := small().bundle(t, PlanOptions{})
	for _, part := range []int{0, len(raw) - 600} {
		pr, pw := io.Pipe() // nothing comes after the part
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			pw.Write(raw[:part])
			cancel()
		}()
		if _, _, err := readStream(ctx, pr, false); !errors.Is(err, context.Canceled) {
			t.Errorf("stalled after %d bytes: %v", part, err)
		}
		pw.Close()
	}
}

// someFile is a stream that is a file.
type someFile struct{ *bytes.Reader }

func (someFile) Name() string { return "some.tar.zst" }

// TestStreamOfFile refuses a compressed file that was cut before its first layer, by its
// name.
func TestStreamOfFile(t *testing.T) {
	ownTemp(t)
	for _, c := range []Compression{Gzip, Zstd} {
		raw, err := os.ReadFile(mixed().bundleAs(t, c, PlanOptions{}))
		if err != nil {
			t.Fatal(err)
		}
		s, err := OpenStream(t.Context(), someFile{bytes.NewReader(raw)})
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		s.Close()
		_, err = OpenStream(t.Context(), someFile{bytes.NewReader(raw[:len(raw)-1000])})
		if c == Gzip && err == nil { // its size is unknown without the trailer
			continue
		}
		if d, ok := errors.AsType[*DamagedError](err); !ok || d.File != "some.tar.zst" {
			t.Errorf("%s, cut: %v", c, err)
		}
	}
}
