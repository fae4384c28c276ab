//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/need"
	"stowage/internal/nodetest"
	"stowage/pkg/archive"
	"stowage/pkg/node/internal/bundletest"
)

// bombFile and bombFiles are size and number of the files of a bomb: 10 GiB in 10 MB.
const (
	bombFile  = 64 << 20
	bombFiles = 160
)

// gzipBomb returns a layer whose trailer states the given size. Its parts are compressed
// separately and concatenated.
func gzipBomb(t testing.TB, states uint32) []byte {
	t.Helper()
	deflated := func(raw ...[]byte) []byte {
		var b bytes.Buffer
		w, err := flate.NewWriter(&b, flate.BestCompression)
		must(t, err)
		for _, r := range raw {
			_, err := w.Write(r)
			must(t, err)
		}
		must(t, w.Flush())
		return b.Bytes()
	}
	zeros := deflated(make([]byte, bombFile))
	out := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}
	for i := range bombFiles {
		out = append(out, deflated(bombHeader(t, i))...)
		out = append(out, zeros...)
	}
	out = append(out, 1, 0, 0, 255, 255) // the last block, stored and empty
	return binary.LittleEndian.AppendUint32(append(out, 0, 0, 0, 0), states)
}

// zstdBomb returns the same in separate frames, each of which states its size.
func zstdBomb(t testing.TB) []byte {
	t.Helper()
	e, err := zstd.NewWriter(nil)
	must(t, err)
	defer e.Close()
	zeros := e.EncodeAll(make([]byte, bombFile), nil)
	var out []byte
	for i := range bombFiles {
		out = append(e.EncodeAll(bombHeader(t, i), out), zeros...)
	}
	return out
}

// bombHeader returns the header of the i-th file.
func bombHeader(t testing.TB, i int) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, tar.NewWriter(&b).WriteHeader(&tar.Header{Name: string(rune('a' + i)), Typeflag: tar.TypeReg, Size: bombFile, Mode: 0o644}))
	return b.Bytes()
}

// oneFileBomb returns a layer with one file, which has size bytes according to its header.
func oneFileBomb(t testing.TB, size int64) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, tar.NewWriter(&b).WriteHeader(&tar.Header{Name: "a", Typeflag: tar.TypeReg, Size: size, Mode: 0o644}))
	return bundletest.Gzip(t, b.Bytes())
}

// bomb puts a layer into a tarball, with a wrong diffID.
func bomb(t testing.TB, kind string, layer []byte) string {
	t.Helper()
	return handmade{layers: [][]byte{layer}, diffs: []digest.Digest{dg("bomb")}, manifest: func(m *ocispec.Manifest) {
		m.Layers[0].MediaType = kind
	}}.write(t)
}

// loopDisk mounts a file system of size bytes until the test ends.
func loopDisk(t *testing.T, size int64) string {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "ld")
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	disk, at := filepath.Join(dir, "disk"), filepath.Join(dir, "m")
	must(t, os.WriteFile(disk, nil, 0o600))
	must(t, os.Truncate(disk, size))
	must(t, os.Mkdir(at, 0o700))
	for _, args := range [][]string{{"mkfs.ext4", "-q", "-m", "0", disk}, {"mount", "-o", "loop", disk, at}} {
		if out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput(); err != nil {
			need.Missing(t, fmt.Sprintf("no loop disk: %v: %v\n%s", args, err, out))
		}
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v\n%s", at, err, out)
		}
	})
	return at
}

// TestBombsStopped loads layers that unpack to 10 GiB and more, on a disk that
// is too small for them and on one that is not.
func TestBombsStopped(t *testing.T) {
	if need.Race {
		t.Skip("some 20 GiB come out of the decoder, which the race detector makes ten times as slow")
	}
	t.Parallel()
	if os.Geteuid() != 0 {
		nodetest.Start(t) // skips the test with the reason
	}
	const states = 50 << 20
	bombs := map[string]string{
		"gzip that states little":  bomb(t, ocispec.MediaTypeImageLayerGzip, gzipBomb(t, states)),
		"gzip that states nothing": bomb(t, ocispec.MediaTypeImageLayerGzip, gzipBomb(t, 0)),
		"zstd":                     bomb(t, ocispec.MediaTypeImageLayerZstd, zstdBomb(t)),
		"one file of 10 GiB":       bomb(t, ocispec.MediaTypeImageLayerGzip, oneFileBomb(t, 10<<30)),
	}
	for disk, size := range map[string]int64{"a small disk": 300 << 20, "a big disk": 0} {
		o := nodetest.Options{}
		if size > 0 {
			o.Dir = loopDisk(t, size)
		}
		machine, n := connect(t, o)
		before := n.take(t)
		for name, path := range bombs {
			for i, way := range ways {
				if gib := size == 0 && name != "one file of 10 GiB"; gib && i > 0 {
					continue // each writes a GiB
				}
				t.Run(name+" on "+disk+", "+way.name, func(t *testing.T) {
					m := *n
					way.set(&m)
					_, err := m.Load(t.Context(), bundletest.Open(t, path), LoadOptions{})
					inflated(t, err)
					n.take(t).same(t, before)
				})
			}
			if size == 0 && name != "one file of 10 GiB" {
				continue
			}
			t.Run(name+" on "+disk+", streamed", func(t *testing.T) {
				_, err := loadAny(t.Context(), t, n, bytes.NewReader(contentOf(t, path)), LoadOptions{DiscardLayers: true})
				inflated(t, err)
				n.take(t).same(t, before)
			})
			if name == "gzip that states nothing" {
				continue
			}
			t.Run(name+" on "+disk+", in little memory", func(t *testing.T) {
				c, err := order{Address: machine.Address(), Bundle: path}.run()
				if err == nil || c.peak == 0 || c.peak > 64<<20 {
					t.Errorf("error %v, peak memory %d MiB, want at most 64", err, c.peak>>20)
				}
				n.take(t).same(t, before)
			})
		}
		must(t, machine.Stop())
	}
}

// inflated fails the test unless err is that of a bomb that was stopped early.
func inflated(t *testing.T, err error) {
	t.Helper()
	var e *InflatedError
	switch {
	case !errors.As(err, &e) || !errors.Is(err, archive.ErrDamaged):
		t.Errorf("error: %v, want an InflatedError", err)
	case e.Unpacked > 2<<30 && e.Unpacked != 10<<30: // a single file is stopped by its header
		t.Errorf("%v: that is late", err)
	}
}

// TestBombStatesSize loads a bomb whose stated size does not fit.
func TestBombStatesSize(t *testing.T) {
	_, n := connect(t, nodetest.Options{Dir: smallDisk(t, 64<<20)})
	before := n.take(t)
	path := bomb(t, ocispec.MediaTypeImageLayerGzip, gzipBomb(t, 4<<30-1))
	var short *DiskFullError
	if _, err := n.Load(t.Context(), bundletest.Open(t, path), LoadOptions{}); !errors.As(err, &short) || short.Need < 4<<30-1 {
		t.Errorf("error: %v, want a DiskFullError", err)
	}
	n.take(t).same(t, before)
}
