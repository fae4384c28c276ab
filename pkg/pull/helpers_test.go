package pull

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/internal/registrytest"
	"stowage/pkg/pull/account"
)

// addManifest adds a manifest under a tag, with a config for linux/amd64 and its layers
// unless it has one.
func addManifest(t *testing.T, h *registrytest.Registry, repo, tag string, m ocispec.Manifest) ocispec.Descriptor {
	t.Helper()
	if m.Config.Digest == "" {
		config := ocispec.Image{Platform: amd64, RootFS: ocispec.RootFS{Type: "layers"}}
		for _, l := range m.Layers {
			config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, l.Digest) // of an uncompressed layer
		}
		raw, err := json.Marshal(config)
		if err != nil {
			t.Fatal(err)
		}
		m.Config = h.AddBlob(repo, raw)
		m.Config.MediaType = ocispec.MediaTypeImageConfig
	}
	m.Versioned, m.MediaType = specs.Versioned{SchemaVersion: 2}, ocispec.MediaTypeImageManifest
	return addDocument(t, h, repo, tag, m.MediaType, m)
}

// addIndex adds an index under a tag.
func addIndex(t *testing.T, h *registrytest.Registry, repo, tag string, children ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return addDocument(t, h, repo, tag, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: append([]ocispec.Descriptor{}, children...),
	})
}

func addDocument(t *testing.T, h *registrytest.Registry, repo, tag, mediaType string, doc any) ocispec.Descriptor {
	t.Helper()
	raw, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	if tag == "" {
		tag = digest.FromBytes(raw).String()
	}
	d, err := h.AddRaw(repo, tag, mediaType, raw)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// blobsOf returns the configs and layers of images, each once.
func blobsOf(t *testing.T, c *Client, images []Resolved) []ocispec.Descriptor {
	t.Helper()
	var out []ocispec.Descriptor
	seen := map[digest.Digest]bool{}
	for _, img := range images {
		for _, d := range slices.Concat(img.Present, img.Referrers) {
			raw, err := c.docs.Metadata(d.Digest)
			if err != nil {
				t.Fatal(err)
			}
			var m ocispec.Manifest
			if err := json.Unmarshal(raw, &m); err != nil {
				t.Fatal(err)
			}
			for _, b := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
				if b.Digest != "" && !seen[b.Digest] {
					seen[b.Digest] = true
					out = append(out, b)
				}
			}
		}
	}
	return out
}

// failing returns an error for one host and no account for the others.
type failing struct {
	host string
	err  error
}

func (f failing) For(_ context.Context, repository string, _ []string) ([]account.Account, error) {
	if strings.HasPrefix(repository, f.host+"/") {
		return nil, f.err
	}
	return nil, nil
}

func (f failing) Forget() {}

func bodyOf(s string) io.ReadCloser { return io.NopCloser(strings.NewReader(s)) }

func quiet() *log.Logger { return log.New(io.Discard, "", 0) }
