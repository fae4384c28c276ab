package archive

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestVerifyContents: a layer belongs to the config of each of its images, whatever its
// media type says about its compression.
func TestVerifyContents(t *testing.T) {
	text := []byte(strings.Repeat("what a tar holds ", 1000))
	var gz bytes.Buffer
	w := gzip.NewWriter(&gz)
	_, err := w.Write(text)
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	packed := enc.EncodeAll(text, nil)
	right, wrong := digest.FromBytes(text), digest.FromString("another")
	for _, tc := range []struct {
		name, mediaType string
		layer           []byte
		diffIDs         []digest.Digest
		config          string // media type
		damaged         string
		uncompared      int
	}{
		{"plain", ocispec.MediaTypeImageLayer, text, []digest.Digest{right}, "", "", 0},
		{"gzip", ocispec.MediaTypeImageLayerGzip, gz.Bytes(), []digest.Digest{right}, "", "", 0},
		{"zstd", ocispec.MediaTypeImageLayerZstd, packed, []digest.Digest{right}, "", "", 0},
		{"gzip that says it is plain", ocispec.MediaTypeImageLayer, gz.Bytes(), []digest.Digest{right}, "", "", 0},
		{"another plain layer", ocispec.MediaTypeImageLayer, text, []digest.Digest{wrong}, "", "does not belong to the config of a.test/a:1", 0},
		{"another gzip layer", ocispec.MediaTypeImageLayerGzip, gz.Bytes(), []digest.Digest{wrong}, "", "does not belong to the config of a.test/a:1", 0},
		{"cut gzip", ocispec.MediaTypeImageLayerGzip, gz.Bytes()[:50], []digest.Digest{right}, "", "unexpected EOF", 0},
		{"artifact", "application/vnd.cncf.helm.chart.content.v1.tar+gzip", gz.Bytes(), nil, "application/vnd.cncf.helm.config.v1+json", "", 1},
		{"another number of diffIDs", ocispec.MediaTypeImageLayer, text, []digest.Digest{right, right}, "", "", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := newStore()
			config := s.PutJSON(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: amd64, RootFS: ocispec.RootFS{Type: "layers", DiffIDs: tc.diffIDs}})
			if tc.config != "" {
				config.MediaType = tc.config
			}
			m := s.PutJSON(ocispec.MediaTypeImageManifest, ocispec.Manifest{
				Versioned: version2, MediaType: ocispec.MediaTypeImageManifest, Config: config,
				Layers: []ocispec.Descriptor{s.Put(tc.mediaType, tc.layer)},
			})
			r := open(t, pack(s.layoutOf("", annotated(m, byContainerd, "a.test/a:1"))...))
			err := r.VerifyContents(t.Context(), 1, nil)
			if tc.damaged == "" && err != nil || tc.damaged != "" && (!errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), tc.damaged)) {
				t.Errorf("error %v, want %q", err, tc.damaged)
			}
			if err := r.Verify(t.Context(), 1, nil); err != nil {
				t.Errorf("the blobs: %v", err)
			}
			if r.Uncompared() != tc.uncompared {
				t.Errorf("%d layers are not compared, want %d", r.Uncompared(), tc.uncompared)
			}
		})
	}
}
