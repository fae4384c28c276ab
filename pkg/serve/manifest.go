package serve

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"stowage/internal/manifest"
)

// errNotManifest means that a blob is neither a manifest nor an index.
var errNotManifest = errors.New("not a manifest")

// document is a manifest or an index.
type document struct {
	raw       []byte
	mediaType string
	parsed    *manifest.Manifest
}

// readManifest reads a manifest or an index and checks its digest. Its media type is the one
// that it states: the image store of a node has none for the manifests of an index.
func readManifest(ctx context.Context, s Source, d digest.Digest) (*document, error) {
	b, err := s.Open(ctx, d)
	if err != nil {
		return nil, err
	}
	defer b.Close() // only read from
	if b.Size() > manifest.MaxSize {
		return nil, errNotManifest
	}
	raw := make([]byte, b.Size())
	if n, err := b.ReadAt(raw, 0); n < len(raw) {
		if err == nil || err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("read %s: %w", d, err)
	}
	if got := d.Algorithm().FromBytes(raw); got != d {
		return nil, fmt.Errorf("manifest %s is damaged: its digest is %s", d, got)
	}
	m, err := manifest.Parse(raw, manifest.Limits{AnySchema: true})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNotManifest, err)
	}
	doc := &document{raw, m.MediaType, m}
	if !m.Stated && m.Config.MediaType == manifest.MediaTypeDockerConfig {
		doc.mediaType = manifest.MediaTypeDockerManifest
	}
	return doc, nil
}
