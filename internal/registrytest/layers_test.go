package registrytest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
)

// buildLayer builds a layer in a new store.
func buildLayer(t *testing.T, l *Layer) builtLayer {
	t.Helper()
	s, err := newStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.close() })
	b, err := s.layer(l)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.layer(l)
	if err != nil || again != b {
		t.Errorf("second build: %v, %v", again, err)
	}
	return b
}

// unpacked returns a layer's tar after checking its digests.
func unpacked(t *testing.T, l *Layer, b builtLayer) []byte {
	t.Helper()
	packed := readAll(t, io.NewSectionReader(b.content, 0, b.content.Size()))
	if got := digest.FromBytes(packed); got != b.digest {
		t.Errorf("digest %s, want %s", got, b.digest)
	}
	var r io.Reader = bytes.NewReader(packed)
	switch l.Compression {
	case Gzip, GzipStored:
		z, err := gzip.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		r = z
	case Zstd:
		z, err := zstd.NewReader(r)
		if err != nil {
			t.Fatal(err)
		}
		defer z.Close()
		r = z
	}
	plain := readAll(t, r)
	if got := digest.FromBytes(plain); got != b.diffID {
		t.Errorf("diffID %s, want %s", got, b.diffID)
	}
	return plain
}

func readAll(t *testing.T, r io.Reader) []byte {
	t.Helper()
	raw, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestCompressions(t *testing.T) {
	for name, c := range map[string]Compression{"gzip": Gzip, "zstd": Zstd, "none": None, "stored": GzipStored} {
		for _, size := range []int64{0, 1, 511, 512, 513, storedBlock - 512, storedBlock * 2, inMemory - 2048 - 512, inMemory, 3 * inMemory} {
			t.Run(fmt.Sprint(name, size), func(t *testing.T) {
				l := &Layer{Compression: c, Seed: 5, Files: []File{{Name: "f", Size: size, Fill: FillText}}}
				b := buildLayer(t, l)
				plain := unpacked(t, l, b)
				r := tar.NewReader(bytes.NewReader(plain))
				h, err := r.Next()
				if err != nil || h.Size != size || !h.ModTime.Equal(Epoch) || h.Mode != 0o644 {
					t.Errorf("entry %+v, %v", h, err)
				}
				want := readAll(t, io.NewSectionReader(&filler{FillText, seedOf(uint64(5), 0), size}, 0, size))
				if !bytes.Equal(readAll(t, r), want) {
					t.Error("wrong content")
				}
				if _, err := r.Next(); err != io.EOF {
					t.Errorf("after the file: %v", err)
				}
			})
		}
	}
}

func TestOddLayers(t *testing.T) {
	kinds := map[byte]int{}
	names := map[string]int{}
	xattrs := 0
	for i, l := range OddLayers() {
		r := tar.NewReader(bytes.NewReader(unpacked(t, l, buildLayer(t, l))))
		for {
			h, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("layer %d: %v", i, err)
			}
			if _, err := io.Copy(io.Discard, r); err != nil {
				t.Fatalf("layer %d, %s: %v", i, h.Name, err)
			}
			kinds[h.Typeflag]++
			names[h.Name] = i
			if h.PAXRecords["SCHILY.xattr.user.note"] != "" {
				xattrs++
			}
		}
	}
	for _, k := range []byte{tar.TypeReg, tar.TypeDir, tar.TypeSymlink, tar.TypeLink, tar.TypeChar, tar.TypeBlock, tar.TypeFifo} {
		if kinds[k] == 0 {
			t.Errorf("no entry of type %q", k)
		}
	}
	for _, n := range []string{"etc/.wh.gone", "opaque/.wh..wh..opq", strings.Repeat("long-folder-name/", 18) + "file", "grüße-世界"} {
		if _, ok := names[n]; !ok {
			t.Errorf("no entry %s", n)
		}
	}
	if xattrs != 1 {
		t.Errorf("%d extended attributes, want 1", xattrs)
	}
}

func TestReadAt(t *testing.T) {
	const size = 17*fillBlock + 77 // more than one stored block
	text := &filler{FillText, 1, size}
	joined := &concat{}
	for _, c := range []content{bytes.NewReader([]byte("head")), bytes.NewReader(nil), text, bytes.NewReader([]byte("tail"))} {
		joined.append(c)
	}
	for name, c := range map[string]content{
		"random": &filler{FillRandom, 1, size}, "text": text, "sparse": &filler{FillSparse, 1, size},
		"concat": joined, "empty": &concat{}, "stored": &storedBody{text}, "stored nothing": &storedBody{bytes.NewReader(nil)},
	} {
		t.Run(name, func(t *testing.T) {
			whole := readAll(t, io.NewSectionReader(c, 0, c.Size()))
			if int64(len(whole)) != c.Size() {
				t.Fatalf("%d bytes, want %d", len(whole), c.Size())
			}
			r := rand.New(rand.NewPCG(1, 2))
			for range 200 {
				off := r.Int64N(c.Size() + 1)
				n := r.Int64N(c.Size() - off + 1)
				got := make([]byte, n)
				if _, err := c.ReadAt(got, off); err != nil && err != io.EOF || !bytes.Equal(got, whole[off:off+n]) {
					t.Fatalf("%d bytes at %d: wrong, %v", n, off, err)
				}
			}
			if n, err := c.ReadAt(make([]byte, 5), c.Size()); n != 0 || err != io.EOF {
				t.Errorf("after the end: %d, %v, want EOF", n, err)
			}
		})
	}
}

func TestFillsCompress(t *testing.T) {
	for _, row := range []struct {
		name     string
		fill     Fill
		from, to float64 // compressed size per byte
	}{{"random", FillRandom, 1, 1.01}, {"text", FillText, 0.35, 0.45}, {"sparse", FillSparse, 0, 0.01}} {
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if err := copyContent(z, &filler{row.fill, 1, 1 << 20}); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if got := float64(packed.Len()) / (1 << 20); got < row.from || got > row.to {
			t.Errorf("%s compresses to %.3f, want %.2f to %.2f", row.name, got, row.from, row.to)
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	seen := map[digest.Digest]string{}
	for name, l := range map[string]*Layer{
		"seed 1":     {Seed: 1, Files: []File{{Name: "f", Size: 100}}},
		"seed 2":     {Seed: 2, Files: []File{{Name: "f", Size: 100}}},
		"text":       {Seed: 1, Files: []File{{Name: "f", Size: 100, Fill: FillText}}},
		"other name": {Seed: 1, Files: []File{{Name: "g", Size: 100}}},
	} {
		b := buildLayer(t, l)
		if other := seen[b.diffID]; other != "" {
			t.Errorf("%s and %s are the same", name, other)
		}
		seen[b.diffID] = name
	}
}

func TestBadLayer(t *testing.T) {
	s, err := newStore(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, err := s.layer(&Layer{Files: []File{{Name: "\x00"}}}); err == nil {
		t.Error("accepted a name that tar cannot represent")
	}
}

func TestLargeLayersUseNoMemory(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct {
		name string
		c    Compression
		size int64
	}{{"none", None, 2 << 30}, {"stored", GzipStored, 256 << 20}} {
		t.Run(row.name, func(t *testing.T) {
			h, err := New(Options{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			a, err := h.AddImage("big", "1", Image{Layers: []*Layer{{Compression: row.c, Files: []File{{Name: "big", Size: row.size, Fill: FillSparse}}}}})
			if err != nil {
				t.Fatal(err)
			}
			runtime.ReadMemStats(&after)
			// Total allocations, not only the memory in use at one time.
			if used := after.TotalAlloc - before.TotalAlloc; used > 16<<20 {
				t.Errorf("%d MiB allocated for a layer of %d", used>>20, row.size>>20)
			}
			r, err := h.Blob("big", a.Manifests[0].Layers[0].Digest)
			if err != nil || r.Size() < row.size {
				t.Fatalf("layer of %d bytes, %v", r.Size(), err)
			}
			if _, err := r.ReadAt(make([]byte, 1000), row.size-5000); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestParseTarget(t *testing.T) {
	for _, row := range []struct {
		path string
		want target
	}{
		{"/v2/", target{kind: KindPing}},
		{"/v2", target{kind: KindPing}},
		{"/token", target{kind: KindToken}},
		{"/v2/_catalog", target{kind: KindCatalog}},
		{"/v2/a/manifests/v1", target{KindManifest, "a", "v1"}},
		{"/v2/a/b/c/manifests/sha256:00", target{KindManifest, "a/b/c", "sha256:00"}},
		{"/v2/manifests/manifests/manifests", target{KindManifest, "manifests", "manifests"}},
		{"/v2/a/blobs/sha256:00", target{KindBlob, "a", "sha256:00"}},
		{"/cdn/a/b/blobs/sha256:00", target{KindBlob, "a/b", "sha256:00"}},
		{"/v2/a/blobs/uploads/", target{KindUpload, "a", ""}},
		{"/v2/a/blobs/uploads/17", target{KindUpload, "a", "17"}},
		{"/v2/a/tags/list", target{KindTags, "a", "list"}},
		{"/v2/a/referrers/sha256:00", target{KindReferrers, "a", "sha256:00"}},
		{"/v2/a/manifests/", target{kind: KindOther}},
		{"/v2/manifests/x", target{kind: KindOther}},
		{"/v2/a/manifests/x/y", target{kind: KindOther}},
		{"/", target{kind: KindOther}},
		{"/v1/", target{kind: KindOther}},
	} {
		if diff := cmp.Diff(row.want, parseTarget(row.path), cmp.AllowUnexported(target{})); diff != "" {
			t.Errorf("%s: %s", row.path, diff)
		}
	}
}
