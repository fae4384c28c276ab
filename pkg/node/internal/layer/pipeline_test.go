package layer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"stowage/internal/iox"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/node/internal/layer/extract"
	"stowage/pkg/node/internal/layer/inflate"
)

// countedPool is a pool that knows which buffers are out.
type countedPool struct {
	mu   sync.Mutex
	out  map[*inflate.Buffer]bool
	most int
}

func (c *countedPool) Get() any {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := new(inflate.Buffer)
	c.out[b] = true
	c.most = max(c.most, len(c.out))
	return b
}

func (c *countedPool) Put(b any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.out, b.(*inflate.Buffer))
}

// counted starts a pipeline with a pool of its own.
func counted(ctx context.Context, d decoder, h io.Writer, count func(int) error) (*pipeline, *countedPool) {
	pool := &countedPool{out: map[*inflate.Buffer]bool{}}
	return newPipeline(ctx, d, h, count, pool), pool
}

func anySize(int) error { return nil }

func TestPipeline(t *testing.T) {
	bad := errors.New("bad disk")
	for _, size := range []int{0, 1, iox.BufferSize - 1, iox.BufferSize, iox.BufferSize + 1, 3*iox.BufferSize + 17, (2*partsAhead + 1) * iox.BufferSize} {
		want := noise(size)
		var total int
		h := sha256.New()
		d := readDecoder{io.NopCloser(io.MultiReader(bytes.NewReader(want), iotest.ErrReader(bad)))}
		p, pool := counted(t.Context(), d, h, func(n int) error { total += n; return nil })
		got, err := io.ReadAll(extract.NewReader(p))
		if !errors.Is(err, bad) || !bytes.Equal(got, want) || total != size {
			t.Errorf("size %d: %d bytes, %d counted, error %v", size, len(got), total, err)
		}
		if data, err := p.Next(); len(data) > 0 || err != bad {
			t.Errorf("size %d: Next after the end: %d bytes, %v", size, len(data), err)
		}
		p.Close()
		if sum := sha256.Sum256(want); !bytes.Equal(h.Sum(nil), sum[:]) {
			t.Errorf("size %d: the hash is that of something else", size)
		}
		if most := min(size/iox.BufferSize+1, partsAhead); len(pool.out) > 0 || pool.most > most {
			t.Errorf("size %d: %d buffers, want %d or fewer; %d were not returned", size, pool.most, most, len(pool.out))
		}
	}
}

// endless is a decoder that returns a part for each step, and ends with them.
type endless struct{ steps chan struct{} }

func (d endless) Next(b *inflate.Buffer) ([]byte, error) {
	if _, more := <-d.steps; !more {
		return nil, io.EOF
	}
	return b[:1000], nil
}

func (endless) Close() error { return nil }

// TestPipelineClose closes a pipeline early, wherever its stages are: at work, or waiting
// for the decoder or for the caller. The bubble ends when all goroutines have.
func TestPipelineClose(t *testing.T) {
	blob := bundletest.Gzip(t, noise(20*iox.BufferSize))
	for read := range 2*partsAhead + 1 {
		for _, waiting := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				d, err := inflate.NewReader(bytes.NewReader(blob))
				must(t, err)
				p, pool := counted(t.Context(), d, sha256.New(), anySize)
				for range read {
					_, err := p.Next()
					must(t, err)
				}
				if waiting {
					synctest.Wait()
				}
				p.Close()
				must(t, d.Close())
				if len(pool.out) > 0 || pool.most > partsAhead {
					t.Errorf("closed after %d parts: %d of %d buffers were not returned", read, len(pool.out), pool.most)
				}
			})
		}
	}
}

func TestPipelineErrors(t *testing.T) {
	full := errors.New("full")
	for _, tt := range []struct {
		name  string
		count func(stop func()) error
		want  error
	}{
		{"the count fails", func(func()) error { return full }, full},
		{"the context ends", func(stop func()) error { stop(); return nil }, context.Canceled},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, stop := context.WithCancel(t.Context())
			d := endless{make(chan struct{}, 1)}
			d.steps <- struct{}{}
			p, pool := counted(ctx, d, sha256.New(), func(int) error { return tt.count(stop) })
			for range 2 {
				if err := p.skipRest(); !errors.Is(err, tt.want) {
					t.Errorf("%s: %v", tt.name, err)
				}
			}
			time.AfterFunc(time.Second, func() { close(d.steps) }) // Close waits for the decoder
			p.Close()
			if len(pool.out) > 0 {
				t.Errorf("%s: %d buffers were not returned", tt.name, len(pool.out))
			}
			stop()
		})
	}
}
