package serve

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/archive"
)

// memory is a source in memory.
type memory struct {
	images    []Image
	blobs     map[digest.Digest][]byte
	referrers []digest.Digest
	platform  map[digest.Digest]*ocispec.Platform // of images
	err       error                               // of every call
}

func newMemory() *memory {
	return &memory{blobs: map[digest.Digest][]byte{}, platform: map[digest.Digest]*ocispec.Platform{}}
}

func (m *memory) Images(_ context.Context, names *regexp.Regexp) ([]Image, error) {
	return slices.DeleteFunc(slices.Clone(m.images), func(i Image) bool { return !names.MatchString(i.Name) }), m.err
}

func (m *memory) Open(_ context.Context, d digest.Digest) (Blob, error) {
	if m.err != nil {
		return nil, m.err
	}
	raw, ok := m.blobs[d]
	if !ok {
		return nil, fmt.Errorf("blob %s: %w", d, ErrNotFound)
	}
	return bytesBlob{raw}, nil
}

func (m *memory) Referrers(context.Context, digest.Digest) ([]digest.Digest, error) {
	return m.referrers, m.err
}

// put stores bytes.
func (m *memory) put(mediaType string, raw []byte) ocispec.Descriptor {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	m.blobs[d.Digest] = raw
	return d
}

// manifest stores a manifest or an index.
func (m *memory) manifest(t testing.TB, mediaType string, doc any) ocispec.Descriptor {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return m.put(mediaType, raw)
}

// image stores an image of amd64 with one layer.
func (m *memory) image(t testing.TB, layer string) ocispec.Descriptor {
	t.Helper()
	return m.imageFor(t, "amd64", layer)
}

// imageFor stores an image with one layer.
func (m *memory) imageFor(t testing.TB, arch, layer string) ocispec.Descriptor {
	t.Helper()
	doc := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest}
	doc.SchemaVersion = 2
	tarball := tarOf(t, map[string][]byte{"file": []byte(layer)})
	doc.Layers = []ocispec.Descriptor{m.put(ocispec.MediaTypeImageLayer, tarball)}
	config := fmt.Sprintf(`{"os":"linux","architecture":%q,"rootfs":{"type":"layers","diff_ids":[%q]}}`, arch, doc.Layers[0].Digest)
	doc.Config = m.put(ocispec.MediaTypeImageConfig, []byte(config))
	d := m.manifest(t, doc.MediaType, doc)
	m.platform[d.Digest] = &ocispec.Platform{OS: "linux", Architecture: arch}
	return d
}

// name makes a name lead to a manifest.
func (m *memory) name(name string, d ocispec.Descriptor) {
	m.images = append(m.images, Image{name, d.Digest})
}

// sparse stores an index of an image that is there and one of another platform that is not.
func (m *memory) sparse(t testing.TB, present ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	other := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString("another platform"), Size: 500}
	present.Platform, other.Platform = &ocispec.Platform{OS: "linux", Architecture: "amd64"}, &ocispec.Platform{OS: "linux", Architecture: "arm64"}
	doc := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{present, other}}
	doc.SchemaVersion = 2
	return m.manifest(t, doc.MediaType, doc)
}

// referrer stores an artifact about a manifest.
func (m *memory) referrer(t testing.TB, about ocispec.Descriptor, artifactType string) ocispec.Descriptor {
	t.Helper()
	doc := ocispec.Manifest{
		MediaType: ocispec.MediaTypeImageManifest, ArtifactType: artifactType, Config: ocispec.DescriptorEmptyJSON,
		Layers: []ocispec.Descriptor{ocispec.DescriptorEmptyJSON}, Subject: &about, Annotations: map[string]string{"made": "here"},
	}
	doc.SchemaVersion = 2
	m.put("", ocispec.DescriptorEmptyJSON.Data)
	d := m.manifest(t, doc.MediaType, doc)
	m.referrers = append(m.referrers, d.Digest)
	return d
}

// bundle packs all of m into a tarball that [archive.Open] reads.
func (m *memory) bundle(t testing.TB) *archive.Reader {
	t.Helper()
	files := map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}
	for d, raw := range m.blobs {
		files["blobs/sha256/"+d.Encoded()] = raw
	}
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
	index.SchemaVersion = 2
	list := func(d digest.Digest) *ocispec.Descriptor {
		doc, err := readManifest(t.Context(), m, d)
		if err != nil {
			t.Fatal(err)
		}
		index.Manifests = append(index.Manifests, ocispec.Descriptor{MediaType: doc.mediaType, Digest: d, Size: int64(len(doc.raw)), Platform: m.platform[d]})
		return &index.Manifests[len(index.Manifests)-1]
	}
	for _, i := range m.images {
		list(i.Digest).Annotations = map[string]string{"io.containerd.image.name": i.Name}
	}
	for _, d := range m.referrers {
		list(d)
	}
	raw, err := json.Marshal(index)
	if err != nil {
		t.Fatal(err)
	}
	files["index.json"] = raw
	path := filepath.Join(t.TempDir(), "bundle.tar")
	if err := os.WriteFile(path, tarOf(t, files), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := archive.Open(t.Context(), path, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// tarOf returns a tarball of files.
func tarOf(t testing.TB, files map[string][]byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for name, raw := range files {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(raw))})
		_, werr := w.Write(raw)
		if err := errors.Join(err, werr); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// get answers a request without a network.
func get(h http.Handler, method, uri string, header ...string) *http.Response {
	r := httptest.NewRequest(method, uri, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// body returns the body of an answer.
func body(t testing.TB, r *http.Response) string {
	t.Helper()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// codeOf returns the error code of an answer, or "".
func codeOf(t testing.TB, r *http.Response) string {
	t.Helper()
	var answer struct {
		Errors []struct{ Code string }
	}
	if r.StatusCode < 300 || json.Unmarshal([]byte(body(t, r)), &answer) != nil || len(answer.Errors) == 0 {
		return ""
	}
	return answer.Errors[0].Code
}
