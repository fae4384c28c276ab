//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/nodetest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
	"stowage/pkg/node/internal/system"
)

// statesMuch returns a zstd layer of a few bytes that states 2^62.
func statesMuch() []byte {
	frame := binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x58}, 1<<62)
	return append(frame, 1, 0, 0) // the last block, empty
}

// hiddenSize returns a gzip layer with one file of size bytes, a sixteenth of which is noise. Its
// second member hides the size.
func hiddenSize(t *testing.T, name string, size int64) (blob []byte, diffID digest.Digest) {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	must(t, w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: size, Mode: 0o644}))
	noise := make([]byte, size/16)
	rand.NewChaCha8([32]byte{name[0]}).Read(noise)
	_, err := w.Write(append(noise, make([]byte, size-int64(len(noise)))...))
	must(t, errors.Join(err, w.Close()))
	return append(bundletest.Gzip(t, b.Bytes()), bundletest.Gzip(t, nil)...), digest.FromBytes(b.Bytes())
}

// TestDiskKeepsReserve loads layers that are larger than the disk without saying so, together
// or by what is not bytes, while the free space is watched.
func TestDiskKeepsReserve(t *testing.T) {
	t.Parallel()
	machine, n := connect(t, nodetest.Options{Dir: smallDisk(t, 96<<20)})
	before := n.take(t)
	start, err := system.Usage(machine.Dir())
	must(t, err)
	one, oneDiff := hiddenSize(t, "a", 60<<20)
	two, twoDiff := hiddenSize(t, "b", 60<<20)
	var dirs, deep []tar.Header
	for i := range 2 * smallInodes {
		dirs = append(dirs, tar.Header{Name: fmt.Sprint(i), Typeflag: tar.TypeDir, Mode: 0o755})
	}
	for i := range 20 {
		name := fmt.Sprint(i)
		for range 1000 {
			name += "/a"
		}
		deep = append(deep, tar.Header{Name: name, Typeflag: tar.TypeReg})
	}
	for _, tt := range []struct {
		name   string
		layers [][]byte
		diffs  []digest.Digest
		zstd   bool
		want   error // nil: DiskFullError
		inodes bool
	}{
		{name: "together", layers: [][]byte{one, two}, diffs: []digest.Digest{oneDiff, twoDiff}},
		{name: "directories", layers: [][]byte{bundletest.Gzip(t, tarOf(t, dirs...))}, want: archive.ErrDamaged, inodes: true},
		{name: "directories that are not listed", layers: [][]byte{bundletest.Gzip(t, tarOf(t, deep...))}, want: archive.ErrDamaged, inodes: true},
		{name: "a stated size", layers: [][]byte{statesMuch()}, zstd: true},
		{name: "stated sizes that overflow", layers: [][]byte{statesMuch(), append(statesMuch(), 0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0)}, zstd: true},
	} {
		path := handmade{layers: tt.layers, diffs: tt.diffs, manifest: func(m *ocispec.Manifest) {
			for i := range m.Layers {
				if m.Layers[i].MediaType = ocispec.MediaTypeImageLayerGzip; tt.zstd {
					m.Layers[i].MediaType = ocispec.MediaTypeImageLayerZstd
				}
			}
		}}.write(t)
		for _, streamed := range []bool{false, true} {
			least := watch(t, machine.Dir())
			if streamed {
				_, err = loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, path)), LoadOptions{})
			} else {
				_, err = n.Load(t.Context(), bundletest.Open(t, path), LoadOptions{})
			}
			free, inodes := least()
			var short *DiskFullError
			if !errors.As(err, &short) || short.Inodes != tt.inodes || tt.want != nil && !errors.Is(err, tt.want) || tt.want == nil && errors.Is(err, archive.ErrDamaged) {
				t.Errorf("%s, streamed %t: %v", tt.name, streamed, err)
			}
			if free < start.Size/32 || inodes < start.Inodes/32 {
				t.Errorf("%s, streamed %t: only %d bytes and %d inodes were free", tt.name, streamed, free, inodes)
			}
			n.take(t).same(t, before)
			if end, err := system.Usage(machine.Dir()); err != nil || end.Free < start.Free-returnSlack {
				t.Errorf("%s, streamed %t: %d bytes free before, now %d: %v", tt.name, streamed, start.Free, end.Free, err)
			}
		}
	}
}

// watch returns a function that ends the watch and returns the least free bytes and inodes.
func watch(t *testing.T, path string) func() (free, inodes int64) {
	t.Helper()
	done := make(chan struct{})
	var wg sync.WaitGroup
	free, inodes := int64(math.MaxInt64), int64(math.MaxInt64)
	wg.Go(func() {
		for {
			u, err := system.Usage(path)
			if err != nil {
				t.Error(err)
				return
			}
			free, inodes = min(free, u.Free), min(inodes, u.Unused)
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return func() (int64, int64) {
		close(done)
		wg.Wait()
		return free, inodes
	}
}

// TestSpaceThatDoesNotReturn checks the error when files stay that a load has removed.
func TestSpaceThatDoesNotReturn(t *testing.T) {
	odd := errors.New("odd")
	l := &loader{volumes: []*volume{{path: t.TempDir()}}}
	if err := l.checkReturned(odd); err != odd {
		t.Errorf("all returned: %v", err)
	}
	l.volumes[0].before.Free = math.MaxInt64
	if err := l.checkReturned(odd); !errors.Is(err, odd) || err == odd {
		t.Errorf("nothing returned: %v", err)
	}
}
