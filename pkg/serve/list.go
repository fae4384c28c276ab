package serve

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// serveTags answers with the tags of a repository, in order, those after last and at most n.
func (h *handler) serveTags(w *answer, r *http.Request, repo repository, name string) *failure {
	query := r.URL.Query()
	most := -1
	if n := query.Get("n"); n != "" {
		var err error
		if most, err = strconv.Atoi(n); err != nil || most < 0 {
			return failed(codePagination, "n is not a number of tags")
		}
	}
	list, f := h.find(r.Context(), repo)
	if f != nil {
		return f
	}
	last := query.Get("last")
	tags := []string{}
	for _, t := range list {
		if t.tag > last {
			tags = append(tags, t.tag)
		}
	}
	slices.Sort(tags)
	tags = slices.Compact(tags)
	if most >= 0 && most < len(tags) {
		tags = tags[:most]
		if most > 0 {
			query.Set("last", tags[most-1])
			next := url.URL{Path: r.URL.Path, RawQuery: query.Encode()}
			w.Header().Set("Link", fmt.Sprintf("<%s>; rel=\"next\"", next.String()))
		}
	}
	w.json(map[string]any{"name": name, "tags": tags})
	return nil
}

// serveReferrers answers with an index of the manifests whose subject is a digest. Without
// one it is empty, as the specification wants it.
func (h *handler) serveReferrers(w *answer, r *http.Request, d digest.Digest) *failure {
	list, err := h.source.Referrers(r.Context(), d)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return broken(err)
	}
	wanted := r.URL.Query().Get("artifactType")
	index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{}}
	index.SchemaVersion = 2
	for _, c := range list {
		doc, err := readManifest(r.Context(), h.source, c)
		switch {
		case errors.Is(err, ErrNotFound), errors.Is(err, errNotManifest):
			continue
		case err != nil:
			return broken(err)
		}
		if doc.parsed.Subject != d {
			continue
		}
		if desc := doc.descriptor(c); wanted == "" || desc.ArtifactType == wanted {
			index.Manifests = append(index.Manifests, desc)
		}
	}
	slices.SortFunc(index.Manifests, func(x, y ocispec.Descriptor) int { return cmp.Compare(x.Digest, y.Digest) })
	index.Manifests = slices.CompactFunc(index.Manifests, func(x, y ocispec.Descriptor) bool { return x.Digest == y.Digest })
	if wanted != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
	w.json(index)
	return nil
}

// descriptor returns what a list of referrers says about the manifest: its artifact type, or
// else the type of its config, and its annotations.
func (m *document) descriptor(d digest.Digest) ocispec.Descriptor {
	var about struct {
		Annotations map[string]string `json:"annotations"`
	}
	_ = json.Unmarshal(m.raw, &about) // annotations of another form are left out
	desc := ocispec.Descriptor{
		MediaType: m.mediaType, Digest: d, Size: int64(len(m.raw)),
		ArtifactType: m.parsed.ArtifactType, Annotations: about.Annotations,
	}
	if desc.ArtifactType == "" && !m.parsed.Index {
		desc.ArtifactType = m.parsed.Config.MediaType
	}
	return desc
}
