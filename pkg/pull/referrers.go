package pull

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxPages     = 50   // of one list of referrers
	maxReferrers = 1000 // of one image
)

// cosignTags are the suffixes of the tags under which cosign before version 3 keeps what
// belongs to a digest.
var cosignTags = []string{".sig", ".att", ".sbom"}

// attached finds what others have attached to the chosen manifests of an image. What
// BuildKit put into the image's own index goes to Present, all else to Referrers.
func (t *target) addReferrers(ctx context.Context) error {
	subjects := slices.Clone(t.resolved.Present)
	if err := t.addAttestations(ctx); err != nil {
		return err
	}
	f := &findings{present: map[digest.Digest]bool{}, found: map[finding]ocispec.Descriptor{}}
	for _, d := range t.resolved.Present {
		f.present[d.Digest] = true
	}
	for _, s := range subjects {
		if err := t.findReferrers(ctx, s.Digest, f); err != nil {
			return err
		}
	}
	for _, d := range f.found {
		t.resolved.Referrers = append(t.resolved.Referrers, d)
	}
	slices.SortFunc(t.resolved.Referrers, func(a, b ocispec.Descriptor) int {
		return cmp.Or(cmp.Compare(a.Digest, b.Digest), cmp.Compare(a.Annotations[ocispec.AnnotationRefName], b.Annotations[ocispec.AnnotationRefName]))
	})
	return nil
}

// findings are what is attached to the manifests of one image.
type findings struct {
	present map[digest.Digest]bool // the manifests, and the attestations among them
	found   map[finding]ocispec.Descriptor
}

// finding is a manifest, and the tag that ties it to the image where its subject does not.
type finding struct {
	digest digest.Digest
	tag    string
}

// attestations adds the children of the image's indexes that speak of a chosen manifest
// (BuildKit, "Image attestation storage").
func (t *target) addAttestations(ctx context.Context) error {
	t.seen = map[digest.Digest]bool{}
	defer func() { t.seen = nil }()
	chosen := map[digest.Digest]bool{}
	for _, d := range t.resolved.Present {
		chosen[d.Digest] = true
	}
	for _, parent := range slices.Clone(t.resolved.Present) {
		if !isIndex(parent.MediaType) {
			continue
		}
		raw, err := t.manifest(ctx, parent)
		if err != nil {
			return err
		}
		var index ocispec.Index
		if err := json.Unmarshal(raw, &index); err != nil {
			return fmt.Errorf("%s: index %s: %w", t.Name, parent.Digest, err)
		}
		for _, d := range index.Manifests {
			about := digest.Digest(d.Annotations["vnd.docker.reference.digest"])
			if real(d) || chosen[d.Digest] || !chosen[about] {
				continue
			}
			below, _, err := t.walk(ctx, d, nil, maxDepth)
			if err != nil {
				return err
			}
			chosen[d.Digest] = true
			t.resolved.Present = append(t.resolved.Present, below...)
		}
	}
	return nil
}

// referrer takes up one manifest and makes its blobs known. Of an index it takes what is
// listed there. tag is the name that led to it, "" for the referrers API.
func (t *target) addReferrer(ctx context.Context, desc ocispec.Descriptor, tag string, f *findings, depth int) error {
	if _, ok := f.found[finding{desc.Digest, tag}]; ok || f.present[desc.Digest] || depth > maxDepth {
		return nil
	}
	if len(f.found) >= maxReferrers {
		return fmt.Errorf("%s: more than %d referrers", t.Name, maxReferrers)
	}
	raw, err := t.manifest(ctx, desc)
	if err != nil {
		return fmt.Errorf("referrer %s: %w", desc.Digest, err)
	}
	mt := mediaType(raw, desc.MediaType)
	var doc struct {
		ArtifactType string               `json:"artifactType"`
		Config       ocispec.Descriptor   `json:"config"`
		Layers       []ocispec.Descriptor `json:"layers"`
		Manifests    []ocispec.Descriptor `json:"manifests"`
		Subject      ocispec.Descriptor   `json:"subject"`
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		return fmt.Errorf("%s: referrer %s: %w", t.Name, desc.Digest, err)
	}
	skip := func(why string) error {
		t.client.net.events.report(Event{Host: t.first.host, Text: fmt.Sprintf("%s: referrer %s %s and is skipped", t.Name, desc.Digest, why)})
		return nil
	}
	if isIndex(mt) {
		for _, d := range doc.Manifests {
			if err := t.addReferrer(ctx, d, tag, f, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	if f.present[doc.Subject.Digest] {
		tag = "" // it says the same itself
	}
	switch {
	case !isManifest(mt):
		return skip(fmt.Sprintf("is of type %q", oneLine(mt)))
	case tag == "" && !f.present[doc.Subject.Digest]:
		return skip("does not say that it is about this image")
	}
	t.addLocations(doc.Config, doc.Layers)
	kept := ocispec.Descriptor{MediaType: mt, Digest: desc.Digest, Size: int64(len(raw)), ArtifactType: cmp.Or(doc.ArtifactType, doc.Config.MediaType)}
	if tag != "" {
		kept.Annotations = map[string]string{ocispec.AnnotationRefName: tag}
	}
	f.found[finding{desc.Digest, tag}] = kept
	return nil
}

// referrersOf finds what is attached to a digest: by the referrers API or its fallback tag
// (distribution-spec 1.1, "Listing Referrers"), and under cosign's tags. Looking costs no
// pulls.
func (t *target) findReferrers(ctx context.Context, subject digest.Digest, f *findings) error {
	c := t.client
	var list []ocispec.Descriptor
	var under string // the fallback tag, if it was that
	err := c.waitOutLimit(ctx, c.routes.resolvers(t.named), t.Secrets, func(r conn) (err error) {
		list, err = r.referrers(ctx, subject, t.Name)
		if under = ""; errors.Is(err, errNoReferrersAPI) {
			under = t.named.Name() + ":" + tagFor(subject)
			list, err = r.taggedReferrers(ctx, subject, t.Name)
		}
		return asAbsent(err)
	})
	if err != nil && !isNotFound(err) {
		return err
	}
	for _, d := range list {
		if err := t.addReferrer(ctx, d, under, f, 0); err != nil {
			return err
		}
	}
	for _, suffix := range cosignTags {
		tag := tagFor(subject) + suffix
		var d ocispec.Descriptor
		err := c.waitOutLimit(ctx, c.routes.resolvers(t.named), t.Secrets, func(r conn) (err error) {
			d, err = r.head(ctx, tag, t.Name)
			return asAbsent(err)
		})
		switch {
		case err == nil:
			err = t.addReferrer(ctx, d, t.named.Name()+":"+tag, f, 0)
		case isNotFound(err), errors.Is(err, errNoHeadDigest):
			err = nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// tagFor is the tag under which registries and tools keep what belongs to a digest.
func tagFor(d digest.Digest) string { return strings.Replace(d.String(), ":", "-", 1) }

// referrersAPI asks GET /v2/NAME/referrers/DIGEST, page after page.
func (r conn) referrers(ctx context.Context, subject digest.Digest, name string) ([]ocispec.Descriptor, error) {
	var out []ocispec.Descriptor
	address := r.url(r.scheme(), "referrers", subject.String())
	for range maxPages {
		list, next, err := r.referrersPage(ctx, address, name)
		if err != nil {
			return nil, err
		}
		out = append(out, list...)
		if next == "" {
			return out, nil
		}
		address = next
	}
	return nil, fmt.Errorf("%s: registry %s: more than %d pages of referrers", name, r.host, maxPages)
}

func (r conn) referrersPage(ctx context.Context, address, name string) ([]ocispec.Descriptor, string, error) {
	round := r.limits.round(r.session)
	resp, err := r.do(ctx, http.MethodGet, address, http.Header{"Accept": {ocispec.MediaTypeImageIndex}})
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusBadRequest, http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusNotImplemented:
		return nil, "", errNoReferrersAPI
	case http.StatusTooManyRequests:
		return nil, "", r.limits.reached(r.session, name, resp, round)
	default:
		return nil, "", statusError(resp, r.session, name)
	}
	if contentType(resp.Header) != ocispec.MediaTypeImageIndex {
		return nil, "", errNoReferrersAPI // a page for people, say
	}
	raw, err := readLimited(resp.Body, maxMetadata)
	if err != nil {
		return nil, "", fmt.Errorf("%s: referrers from %s: %w", name, r.host, err)
	}
	var index ocispec.Index
	if err := json.Unmarshal(raw, &index); err != nil {
		return nil, "", fmt.Errorf("%s: referrers from %s: %w", name, r.host, err)
	}
	return index.Manifests, nextPage(resp.Header, resp.Request.URL), nil
}

// nextPage reads `Link: </v2/…?last=x>; rel="next"` (RFC 8288), "" when there is none. A
// page at another host is none of the registry's.
func nextPage(h http.Header, at *url.URL) string {
	for _, v := range h.Values("Link") {
		for part := range strings.SplitSeq(v, ",") {
			target, params, ok := strings.Cut(part, ">")
			target, found := strings.CutPrefix(strings.TrimSpace(target), "<")
			if !ok || !found || !isNext(params) {
				continue
			}
			u, err := at.Parse(target)
			if err != nil || u.Host != at.Host || u.Scheme != at.Scheme || u.User != nil {
				return ""
			}
			return u.String()
		}
	}
	return ""
}

func isNext(params string) bool {
	for p := range strings.SplitSeq(params, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(k, "rel") && strings.EqualFold(strings.Trim(v, `"`), "next") {
			return true
		}
	}
	return false
}

// taggedReferrers reads the index that clients keep under a tag at registries without the
// API.
func (r conn) taggedReferrers(ctx context.Context, subject digest.Digest, name string) ([]ocispec.Descriptor, error) {
	d, err := r.head(ctx, tagFor(subject), name)
	if errors.Is(err, errNoHeadDigest) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []ocispec.Descriptor{d}, nil
}
