// Package stored reads what containerd has of images, for package serve: names from its image
// store, bytes from its content store. It keeps nothing, so that an image that was removed or
// loaded meanwhile is seen with the next request.
package stored

import (
	"context"
	"fmt"
	"regexp"
	"strconv"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stowage/pkg/node/internal/referrers"
	"stowage/pkg/serve"
)

// New returns the source of the images of one namespace.
func New(i images.Store, c content.Store, namespace string) serve.Source {
	return &source{i, c, namespace}
}

type source struct {
	images    images.Store
	content   content.Store
	namespace string
}

// Images lets containerd choose the records whose names match: it has a filter for that.
func (s *source) Images(ctx context.Context, names *regexp.Regexp) ([]serve.Image, error) {
	records, err := s.images.List(s.in(ctx), "name~="+strconv.Quote(names.String()))
	if err != nil {
		return nil, fmt.Errorf("list the node's images: %w", err)
	}
	list := make([]serve.Image, len(records))
	for i, r := range records {
		list[i] = serve.Image{Name: r.Name, Digest: r.Target.Digest}
	}
	return list, nil
}

// Open returns a blob of the namespace, whether or not an image has it: a pull by containerd
// itself may have just fetched the manifest that leads to it.
func (s *source) Open(ctx context.Context, d digest.Digest) (serve.Blob, error) {
	b, err := s.content.ReaderAt(s.in(ctx), ocispec.Descriptor{Digest: d})
	switch {
	case errdefs.IsNotFound(err):
		return nil, fmt.Errorf("blob %s: %w", d, serve.ErrNotFound)
	case err != nil:
		return nil, fmt.Errorf("open blob %s: %w", d, err)
	}
	return b, nil
}

// Referrers returns those to which the labels of the manifest lead: what load has kept, and
// what containerd has fetched itself.
func (s *source) Referrers(ctx context.Context, d digest.Digest) ([]digest.Digest, error) {
	labels, err := s.labels(ctx, d)
	return referrers.List(labels), err
}

// Tags returns those that load has kept with the manifest.
func (s *source) Tags(ctx context.Context, d digest.Digest) ([]serve.Image, error) {
	labels, err := s.labels(ctx, d)
	var list []serve.Image
	for name, target := range referrers.Tags(labels) {
		list = append(list, serve.Image{Name: name, Digest: target})
	}
	return list, err
}

// labels returns those of a blob, none if there is no such blob.
func (s *source) labels(ctx context.Context, d digest.Digest) (map[string]string, error) {
	info, err := s.content.Info(s.in(ctx), d)
	if err != nil && !errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("look for referrers of %s: %w", d, err)
	}
	return info.Labels, nil
}

func (s *source) in(ctx context.Context) context.Context {
	return namespaces.WithNamespace(ctx, s.namespace)
}
