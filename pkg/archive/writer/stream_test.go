package writer

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/opencontainers/go-digest"

	"stowage/internal/iox"
	"stowage/pkg/archive"
)

// fillInOrder writes the blobs with several workers, opened in the order of the file as a
// stream needs it.
func (s *store) fillInOrder(d blobOpener, jobs, chunk int) error {
	type job struct {
		b archive.Blob
		w *Blob
	}
	work := make(chan job)
	var mu sync.Mutex
	var errs []error
	var wg sync.WaitGroup
	for range jobs {
		wg.Go(func() {
			for j := range work {
				raw := s.Blobs[j.b.Digest]
				var err error
				for off := 0; off < len(raw) && err == nil; off += chunk {
					_, err = j.w.WriteAt(raw[off:min(off+chunk, len(raw))], int64(off))
				}
				if err == nil {
					err = j.w.Commit()
				}
				mu.Lock()
				errs = append(errs, err, j.w.Close())
				mu.Unlock()
			}
		})
	}
	for _, b := range d.Missing() {
		w, err := d.Blob(b.Digest)
		if err != nil {
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
			break
		}
		work <- job{b, w}
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

func TestStreamWritesTheSameBytes(t *testing.T) {
	for _, tc := range []struct {
		name        string
		make        func() *store
		jobs, chunk int
		window      int64
	}{
		{"one", small, 1, 100, 0},
		{"byte by byte", small, 3, 1, 0},
		{"many", small, 8, 513, 1},
		{"larger than the window", func() *store { s, _ := big(5<<20 + 3); return s }, 3, 400_000, 1},
		{"documents only", func() *store { s := newStore(); s.name("a.test/a:1", s.Manifest(amd64)); return s }, 1, 10, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := tc.make()
			want := s.bundle(t)
			var got bytes.Buffer
			st, err := NewStream(&got, s.plan(t), s, StreamOptions{Window: tc.window})
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(s.fillInOrder(st, tc.jobs, tc.chunk), st.Commit(), st.Close()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Errorf("%d bytes, other than the %d of the file", got.Len(), len(want))
			}
		})
	}
}

// TestStreamManyWritersOneBlob: ranges of one blob, each by its own goroutine.
func TestStreamManyWritersOneBlob(t *testing.T) {
	s, dg := big(9<<20 + 11)
	raw := s.Blobs[dg]
	want := s.bundle(t)
	var got bytes.Buffer
	st, err := NewStream(&got, s.plan(t), s, StreamOptions{Window: 2 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range st.Missing()[:1] { // the config
		if err := s.write(st, b.Digest, 10); err != nil {
			t.Fatal(err)
		}
	}
	w, err := st.Blob(dg)
	if err != nil {
		t.Fatal(err)
	}
	const piece = 1 << 20
	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for start := range next {
				end := min(start+piece, len(raw))
				for off := start; off < end; off += 70_000 {
					if _, err := w.WriteAt(raw[off:min(off+70_000, end)], int64(off)); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	for start := 0; start < len(raw); start += piece {
		next <- start
	}
	close(next)
	wg.Wait()
	if err := errors.Join(w.Commit(), w.Close(), st.Commit()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("other bytes than those of the file")
	}
	if n := len(st.chunks) + len(st.spare); n > 2<<20/iox.BufferSize+2 {
		t.Errorf("%d buffers for a window of 2 MiB", n)
	}
}

func TestStreamOrder(t *testing.T) {
	s := small()
	st, err := NewStream(io.Discard, s.plan(t), s, StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	m := st.Missing()
	if _, err := st.Blob(m[1].Digest); !errors.Is(err, ErrOrder) {
		t.Errorf("second before first: %v", err)
	}
	if err := st.Commit(); !errors.Is(err, ErrIncomplete) {
		t.Errorf("commit at the start: %v", err)
	}
	if _, err := st.Blob(digest.FromString("?")); !errors.Is(err, archive.ErrNotFound) {
		t.Errorf("unknown: %v", err)
	}
	w, err := st.Blob(m[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := st.Blob(m[0].Digest); err == nil {
		t.Error("two writers of one blob")
	}
	raw := s.Blobs[m[0].Digest]
	if _, err := w.WriteAt(raw[5:], 5); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("commit of a short blob: %v", err)
	}
	if w.Prefix() != 0 || missing(w)[0] != (span{0, 5}) {
		t.Errorf("prefix %d, gaps %v", w.Prefix(), missing(w))
	}
	w.Close()
	if w, err = st.Blob(m[0].Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteAt(raw, 0); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(); err != nil || w.Prefix() != int64(len(raw)) || len(missing(w)) != 0 {
		t.Errorf("%v, prefix %d, gaps %v", err, w.Prefix(), missing(w))
	}
	if _, err := w.WriteAt(raw, 1); !errors.Is(err, errOutside) {
		t.Errorf("write outside: %v", err)
	}
}

// TestStreamWrongDigest: the tar ends where the lie ends, and no reader takes it.
func TestStreamWrongDigest(t *testing.T) {
	s := small()
	p := s.plan(t)
	for i := range p.Blobs() {
		b := p.Blobs()[i]
		if b.Manifest {
			continue
		}
		right := s.Blobs[b.Digest]
		wrong := append([]byte{^right[0]}, right[1:]...)
		var got bytes.Buffer
		st, err := NewStream(&got, p, s, StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Blobs[b.Digest] = wrong
		err = s.fillInOrder(st, 2, 1000)
		s.Blobs[b.Digest] = right
		var de *archive.DigestError
		if !errors.As(err, &de) || de.Want != b.Digest {
			t.Errorf("blob %d: %v", i, err)
		}
		if got.Len() != int(b.Offset+b.Size) {
			t.Errorf("blob %d: %d bytes left, want %d", i, got.Len(), b.Offset+b.Size)
		}
		if err := st.Commit(); !errors.As(err, &de) {
			t.Errorf("blob %d: commit: %v", i, err)
		}
		if _, err := archive.NewReader(bytes.NewReader(got.Bytes()), int64(got.Len())); !errors.Is(err, archive.ErrDamaged) {
			t.Errorf("blob %d: the short tar reads as %v", i, err)
		}
	}
}

// brokenPipe fails after some bytes.
type brokenPipe struct{ left int }

func (p *brokenPipe) Write(b []byte) (int, error) {
	if p.left -= len(b); p.left < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

func TestStreamBrokenPipe(t *testing.T) {
	s := small()
	p := s.plan(t)
	for left := 0; left < int(p.Size()); left += 700 {
		st, err := NewStream(&brokenPipe{left}, p, s, StreamOptions{})
		if err == nil {
			err = errors.Join(s.fillInOrder(st, 2, 1000), st.Commit())
		}
		if !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("pipe of %d bytes: %v", left, err)
		}
	}
}

// TestStreamClose unblocks goroutines that wait for the window or for an earlier blob.
func TestStreamClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, dg := big(3 << 20)
		st, err := NewStream(io.Discard, s.plan(t), s, StreamOptions{Window: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := st.Blob(st.Missing()[0].Digest); err != nil {
			t.Fatal(err)
		}
		w, err := st.Blob(dg)
		if err != nil {
			t.Fatal(err)
		}
		var wrote int
		var wErr, cErr error
		var wg sync.WaitGroup
		wg.Go(func() { wrote, wErr = w.WriteAt(s.Blobs[dg], 0) })
		synctest.Wait()
		wg.Go(func() { cErr = w.Commit() })
		synctest.Wait()
		st.Close()
		wg.Wait()
		if !errors.Is(wErr, errStreamClosed) || wrote >= len(s.Blobs[dg]) || wrote == 0 {
			t.Errorf("write: %d, %v", wrote, wErr)
		}
		if cErr == nil {
			t.Error("commit of a blob that never went out")
		}
	})
}
