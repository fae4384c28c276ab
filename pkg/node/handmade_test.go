//go:build linux

package node

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
)

// handmade is a tarball with an OCI layout of one image, of which each part can be replaced
// by a wrong one. The zero value is valid.
type handmade struct {
	name     string // of the image
	layers   [][]byte
	diffs    []digest.Digest // of the config; nil: those of plain layers
	config   func(*ocispec.Image)
	manifest func(*ocispec.Manifest)
	index    func(*ocispec.Index)
	more     func(w *tarWriter) // entries before the end
	deep     bool               // the error shows only during unpacking
}

// write writes the file and returns its path.
func (h handmade) write(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "handmade.tar")
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	w := &tarWriter{t: t, tw: tar.NewWriter(f)}
	img := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: h.diffs}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	blobs := map[digest.Digest][]byte{}
	blob := func(kind string, raw []byte) ocispec.Descriptor {
		d := ocispec.Descriptor{MediaType: kind, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
		blobs[d.Digest] = raw
		return d
	}
	for _, l := range h.layers {
		m.Layers = append(m.Layers, blob(ocispec.MediaTypeImageLayer, l))
		if h.diffs == nil {
			img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, digest.FromBytes(l))
		}
	}
	if h.config != nil {
		h.config(&img)
	}
	m.Config = blob(ocispec.MediaTypeImageConfig, marshal(t, img))
	if h.manifest != nil {
		h.manifest(&m)
	}
	target := blob(ocispec.MediaTypeImageManifest, marshal(t, m))
	if h.name == "" {
		h.name = "docker.io/acme/hostile:v1"
	}
	x := indexOf(h.name, target)
	if h.index != nil {
		h.index(&x)
	}
	w.json("oci-layout", ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	w.json("index.json", x)
	for d, raw := range blobs {
		w.file("blobs/sha256/"+d.Encoded(), raw)
	}
	if h.more != nil {
		h.more(w)
	}
	must(t, w.tw.Close())
	return path
}

func marshal(t testing.TB, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	must(t, err)
	return raw
}

// tarOf returns a layer with the entries. Files have zeros.
func tarOf(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Mode == 0 {
			h.Mode = 0o644
		}
		must(t, w.WriteHeader(&h))
		_, err := w.Write(make([]byte, h.Size))
		must(t, err)
	}
	must(t, w.Close())
	return b.Bytes()
}

// sparseLayer returns a layer with one sparse file in the old GNU format: 512 bytes in the
// tar, size bytes unpacked.
func sparseLayer(t testing.TB, size int64) []byte {
	t.Helper()
	raw := tarOf(t, tar.Header{Name: "sparse", Typeflag: tar.TypeReg, Size: 512, Format: tar.FormatGNU})
	h := raw[:512]
	h[156] = tar.TypeGNUSparse
	octal := func(at, width int, v int64) {
		for i := at + width - 2; i >= at; i-- {
			h[i] = byte('0' + v&7)
			v >>= 3
		}
		h[at+width-1] = 0
	}
	// One part of 512 bytes at the start; the real size is at offset 483 (tar(5)).
	octal(386, 12, 0)
	octal(398, 12, 512)
	if size < 1<<33 {
		octal(483, 12, size)
	} else { // in base 256
		for i := range 12 {
			h[494-i] = byte(size)
			size >>= 8
		}
		h[483] |= 0x80
	}
	seal(h)
	return raw
}

// seal updates the checksum of a header.
func seal(h []byte) {
	copy(h[148:156], "        ")
	sum := 0
	for _, c := range h[:512] {
		sum += int(c)
	}
	copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
}

// paxLayer returns a layer with size bytes of PAX records before its only file.
func paxLayer(t testing.TB, size int64) []byte {
	t.Helper()
	raw := tarOf(t, tar.Header{Name: "attributes", Typeflag: tar.TypeReg, Size: size}, tar.Header{Name: "a", Typeflag: tar.TypeReg})
	raw[156] = tar.TypeXHeader
	seal(raw)
	return raw
}

// openFile opens a tarball as the command does.
func openFile(path string) (*archive.Reader, error) {
	return archive.Open(context.Background(), path, &archive.OpenOptions{Docker: true})
}
